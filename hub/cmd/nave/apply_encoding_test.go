package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/navefleet/nave/hub"
)

// TestApply_encodings applies a file in UTF-16, as PowerShell writes it, and one in JSON whose escapes YAML does not
// know, each alone and both at once.
func TestApply_encodings(t *testing.T) {
	const source = `{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "NAME",
"annotations": {"about": "TEXT"}}, "spec": {"interval": "10m", "suspend": true, "url": "https://git.example.com/a"}}`
	dir := t.TempDir()
	var wide []byte
	text := "\ufeff" + strings.NewReplacer("NAME", "wide", "TEXT", "é").Replace(source)
	for _, unit := range utf16.Encode([]rune(text)) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	files := map[string]string{
		"wide.yaml": string(wide), "a.json": strings.NewReplacer("NAME", "json", "TEXT", `\ud83d\ude00`).Replace(source),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, _ := runHub(t, hub.Config{DataDir: t.TempDir()}, t.TempDir(), "")
	for _, file := range []string{"wide.yaml", "a.json"} {
		mustRun(t, "apply", "-f", filepath.Join(dir, file), "--config="+config)
	}
	if out := mustRun(t, "apply", "-f", dir, "--config="+config); strings.Count(out, " unchanged\n") != len(files) {
		t.Errorf("nave apply of both says %s", out)
	}
	out := mustRun(t, "get", "gitrepositories", "-o", "jsonpath={.items[*].metadata.annotations.about}",
		"--config="+config)
	if strings.TrimSpace(out) != "😀 é" {
		t.Errorf("the hub has %q", out)
	}
}
