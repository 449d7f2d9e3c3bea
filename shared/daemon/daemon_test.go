package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	for name, test := range map[string]struct {
		args      []string
		log, fail string // of what it says
	}{
		"text":     {nil, "level=INFO msg=hello", ""},
		"json":     {[]string{"--log-format=json"}, `"msg":"hello"`, ""},
		"quiet":    {[]string{"--log-level=error"}, "", ""},
		"format":   {[]string{"--log-format=xml"}, "", "want json or text"},
		"level":    {[]string{"--log-level=loud"}, "", "want debug, info, warn or error"},
		"argument": {[]string{"now"}, "", "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			ran := false
			c := Command("daemon", "A daemon", func(_ context.Context, log *slog.Logger, limit int64) error {
				ran = limit > 0
				log.Info("hello")
				return nil
			})
			c.SetArgs(test.args)
			c.SetErr(&out)
			err := c.ExecuteContext(t.Context())
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) || ran {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || !ran || test.log == "" != (out.Len() == 0) || !strings.Contains(out.String(), test.log) {
				t.Errorf("ran %t, %v: %s", ran, err, out.String())
			}
		})
	}
}
