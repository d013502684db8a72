// Package languagefile reads the languages that an operator adds, or replaces,
// from a YAML file:
//
//	languages:
//	  ruby:
//	    aliases: [rb]
//	    version: "3.3"
//	    image: ruby:3.3-slim
//	    source: main.rb
//	    run: [ruby, "{entrypoint}"]
//	    sample: |
//	      name = ARGV.first || "world"
//	      puts "Hello, #{name}!"
//	  c:
//	    image: gcc:14
//	    source: main.c
//	    compile: [gcc, -O2, -o, main, "{entrypoint}"]
//	    compile_timeout: 60
//	    run: [./main]
//	    env:
//	      LC_ALL: C.UTF-8
//
// The keys below "languages" are the names; the fields are those of
// ports.Language. Source and run are required. A compile_timeout is a number of
// seconds or a duration such as "1m30s". A sample is a program to show to people;
// after "sample: |" it is taken as it stands, without the indentation. The whole
// file has at most MaxSize bytes.
//
// The reader is strict, because a typing error here would show as a program that
// fails: unknown and repeated keys are errors, and so is everything of YAML that a
// list of languages does not need (anchors, aliases, merge keys, tags, further
// documents), which also leaves no way to make a small file large. Every error
// names the line and the field, and all of a file's errors come at once. What
// needs the other languages to be seen, such as an alias given twice, is checked by
// taskrunner.MergeLanguages.
package languagefile
