package telemetry

import (
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// variables are those that the SDK reads, with what each must be. It would do without
// a value that it does not understand; a service that is not as its operator wrote it
// does not start.
var variables = slices.Concat(
	exporter("ENDPOINT", "an http or https URL, such as http://localhost:4318", func(v string) bool {
		_, err := parseEndpoint(v)
		return err == nil
	}),
	exporter("PROTOCOL", "http/protobuf or http/json", oneOf("http/protobuf", "http/json")),
	exporter("COMPRESSION", "gzip or none", oneOf("gzip", "none")),
	exporter("TIMEOUT", "a positive number of milliseconds", positive),
	exporter("HEADERS", "a list of name=value with commas between, such as Authorization=Bearer%20TOKEN", headers),
	exporter("CERTIFICATE", "a file with a certificate in PEM", pemFile),
	exporter("CLIENT_CERTIFICATE", "a file with a certificate in PEM", pemFile),
	exporter("CLIENT_KEY", "a file with a key in PEM", pemFile),
	[]variable{
		{"OTEL_SDK_DISABLED", "true or false", oneOf("true", "false")},
		{"OTEL_TRACES_EXPORTER", "otlp or none", oneOf("otlp", "none")},
		{"OTEL_TRACES_SAMPLER", "one of " + strings.Join(samplers, ", "), oneOf(samplers...)},
		{"OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", func(v string) bool {
			f, err := strconv.ParseFloat(v, 64)
			return err == nil && f >= 0 && f <= 1
		}},
		{"OTEL_RESOURCE_ATTRIBUTES", "a list of name=value with commas between", pairs},
		{"OTEL_BSP_SCHEDULE_DELAY", "a positive number of milliseconds", positive},
		{"OTEL_BSP_EXPORT_TIMEOUT", "a positive number of milliseconds", positive},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "a positive number of spans", positive},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "a positive number of spans", positive},
		{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "a positive number of characters", positive},
		{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "a positive number of characters", positive},
	},
)

var samplers = []string{
	"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

type variable struct {
	name, must string
	ok         func(string) bool
}

// exporter returns a variable of the exporter in its two forms: for all that is sent,
// and for traces.
func exporter(name, must string, ok func(string) bool) []variable {
	return []variable{{"OTEL_EXPORTER_OTLP_" + name, must, ok}, {"OTEL_EXPORTER_OTLP_TRACES_" + name, must, ok}}
}

// checkVariables returns an error for the first variable that cannot be used. It does
// not show the value, which may be a secret.
func checkVariables() error {
	for _, v := range variables {
		if text := strings.TrimSpace(os.Getenv(v.name)); text != "" && !v.ok(text) {
			return fmt.Errorf("%s must be %s", v.name, v.must)
		}
	}
	return nil
}

// is reports whether a variable has this value.
func is(name, value string) bool { return strings.EqualFold(strings.TrimSpace(os.Getenv(name)), value) }

func oneOf(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, strings.ToLower(v)) }
}

func positive(v string) bool {
	n, err := strconv.ParseInt(v, 10, 32)
	return err == nil && n > 0
}

func pairs(v string) bool {
	for pair := range strings.SplitSeq(v, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); !ok || strings.TrimSpace(name) == "" || err != nil {
			return false
		}
	}
	return true
}

// headers accepts pairs whose names can be a header's. The SDK would log the name of another
// one, and that of "Authorization: Basic dXNlcg==" has all before the first "=".
func headers(v string) bool {
	for pair := range strings.SplitSeq(v, ",") {
		if name, _, _ := strings.Cut(pair, "="); !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) {
			return false
		}
	}
	return pairs(v)
}

func pemFile(name string) bool {
	content, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(content)
	return block != nil
}
