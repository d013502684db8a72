package languagefile_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/task-runner/task-runner/adapters/languagefile"
)

func ExampleParse() {
	languages, err := languagefile.Parse(strings.NewReader(`
languages:
  ruby:
    aliases: [rb]
    image: ruby:3.3-slim
    source: main.rb
    run: [ruby, "{entrypoint}"]
`))
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range languages {
		fmt.Println(l.Name, l.Aliases, l.Run)
	}
	// Output: ruby [rb] [ruby {entrypoint}]
}

func ExampleParse_mistakes() {
	_, err := languagefile.Parse(strings.NewReader(`
languages:
  ruby:
    source: ../main.rb
    run: ruby main.rb
`))
	fmt.Println(err)
	// Output:
	// line 4: languages.ruby.source must be clean: no empty, "." or ".." element
	// line 5: languages.ruby.run must be a list, not a single value
}
