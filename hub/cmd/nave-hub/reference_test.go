package main

import (
	"flag"
	"testing"

	"github.com/navefleet/nave/e2e/reference"
)

var update = flag.Bool("update", false, "write the reference in docs/cli anew")

func TestReference(t *testing.T) {
	if err := reference.Check(newCommand(), *update); err != nil {
		t.Fatal(err)
	}
}

func TestDocumentedCommands(t *testing.T) {
	if err := reference.CheckCommands(newCommand); err != nil {
		t.Fatal(err)
	}
}
