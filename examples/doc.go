// Package examples holds runnable programs, one in each folder. Its tests run
// them all and compare what they print with the expected.txt beside them.
//
//   - snippet runs a piece of untrusted code, with no service at all.
//   - webserver serves the API as a part of another web server.
//   - language adds a language with a YAML file.
//   - production is a worker of many, on MongoDB, Redis and MinIO.
//
// They use the sandbox, so that they need Linux and root.
package examples
