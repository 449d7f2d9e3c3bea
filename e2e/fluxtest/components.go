package fluxtest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/kubetest"
)

// controllers are the Namespace, the accounts and the Deployments of Flux.
//
//go:embed gotk-components.yaml
var controllers string

// components returns the definitions of Flux's kinds and the rest of its components.
func components() (string, error) {
	definitions, err := Definitions()
	if err != nil {
		return "", err
	}
	return controllers + "---\n" + strings.Join(definitions, "---\n"), nil
}

// Definitions returns the CustomResourceDefinitions of Flux's kinds, of the versions in tools/go.mod, with the labels
// of an installation of Flux. They are what controller-gen makes of the types in Flux's modules, byte by byte what Flux
// publishes. The first time takes a minute or two.
func Definitions() (definitions []string, err error) {
	dir, err := kubetest.Cached("fluxtest/tools", "definitions", writeDefinitions)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		labelled, err := installed(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		definitions = append(definitions, labelled)
	}
	return definitions, nil
}

// writeDefinitions makes a folder of definitions.
func writeDefinitions(module, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := []string{"tool", "controller-gen", "crd", "output:dir=" + dir}
	for _, types := range []string{"helm-controller/api", "image-automation-controller/api",
		"image-reflector-controller/api", "kustomize-controller/api", "notification-controller/api",
		"source-controller/api", "source-watcher/api/v2"} {
		args = append(args, "paths=github.com/fluxcd/"+types+"/...")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the definitions of Flux: %w\n%s", err, out)
	}
	return nil
}

// installed returns a definition with the labels that flux puts on it.
func installed(text []byte) (string, error) {
	definition := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &definition.Object); err != nil {
		return "", err
	}
	group, _, err := unstructured.NestedString(definition.Object, "spec", "group")
	if err != nil {
		return "", err
	}
	component, _, _ := strings.Cut(group, ".")
	definition.SetLabels(map[string]string{
		"app.kubernetes.io/component": component + "-controller", "app.kubernetes.io/instance": "flux-system",
		"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.4",
	})
	out, err := yaml.Marshal(definition.Object)
	return string(out), err
}
