package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestIsTerminal_null(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	// Standard input is called /dev/stdin, wherever it comes from.
	if stdin := os.NewFile(null.Fd(), "/dev/stdin"); isTerminal(stdin) {
		t.Error("/dev/null is taken for a terminal: a script would be asked, and not told of --yes")
	}
}

func TestArguments(t *testing.T) {
	for name, c := range map[string]struct{ args, usage string }{
		"no kind":          {"delete", "nave delete KIND NAME"},
		"command of group": {"cluster remove", "nave cluster remove NAME"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			root, _ := program(&bytes.Buffer{}, &bytes.Buffer{})
			root.SetArgs(strings.Fields(c.args))
			if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "usage: "+c.usage) {
				t.Errorf("%v does not show %q", err, c.usage)
			}
		})
	}
}
