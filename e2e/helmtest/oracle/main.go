// Command oracle runs helm template of Helm 3 and Helm 4 many times in one process. It reads requests as JSON from its
// input, and writes an answer to each.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"

	action4 "helm.sh/helm/v4/pkg/action"
	chart4 "helm.sh/helm/v4/pkg/chart"
	common4 "helm.sh/helm/v4/pkg/chart/common"
	loader4 "helm.sh/helm/v4/pkg/chart/loader"
	cli4 "helm.sh/helm/v4/pkg/cli"
	values4 "helm.sh/helm/v4/pkg/cli/values"
	getter4 "helm.sh/helm/v4/pkg/getter"
	release4 "helm.sh/helm/v4/pkg/release/v1"
)

type request struct {
	Major int
	Args  []string // of helm template
}

type answer struct{ Out, Error string }

// template has the arguments of helm template.
type template struct {
	name, chart, namespace, kube string
	crds, upgrade                bool
	apis, values                 list
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

func main() {
	log.SetOutput(new(bytes.Buffer))
	slog.SetDefault(slog.New(slog.DiscardHandler))
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		if in.Decode(&r) != nil {
			return
		}
		text, err := run(r)
		a := answer{Out: text}
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

func run(r request) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	t := template{name: r.Args[0], chart: r.Args[1]}
	flags := flag.NewFlagSet("template", flag.ContinueOnError)
	flags.StringVar(&t.namespace, "namespace", "default", "")
	flags.StringVar(&t.kube, "kube-version", "", "")
	flags.BoolVar(&t.crds, "include-crds", false, "")
	flags.BoolVar(&t.upgrade, "is-upgrade", false, "")
	flags.Var(&t.apis, "api-versions", "")
	flags.Var(&t.values, "values", "")
	if err := flags.Parse(r.Args[2:]); err != nil {
		return "", err
	}
	if r.Major == 3 {
		return t.helm3()
	}
	return t.helm4()
}

func (t template) helm3() (string, error) {
	kube, err := chartutil.ParseKubeVersion(t.kube)
	if err != nil {
		return "", err
	}
	i := action.NewInstall(new(action.Configuration))
	i.DryRun, i.DryRunOption, i.Replace, i.ClientOnly = true, "true", true, true
	i.IncludeCRDs, i.IsUpgrade = t.crds, t.upgrade
	i.KubeVersion, i.APIVersions, i.ReleaseName, i.Namespace = kube, chartutil.VersionSet(t.apis), t.name, t.namespace
	given, err := (&values.Options{ValueFiles: t.values}).MergeValues(getter.All(cli.New()))
	if err != nil {
		return "", err
	}
	c, err := loader.Load(t.chart)
	if err != nil {
		return "", err
	}
	if c.Metadata.Type != "" && c.Metadata.Type != "application" {
		return "", fmt.Errorf("%s charts are not installable", c.Metadata.Type)
	}
	if err := action.CheckDependencies(c, c.Metadata.Dependencies); err != nil {
		return "", err
	}
	rel, err := i.RunWithContext(context.Background(), c, given)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintln(&b, strings.TrimSpace(rel.Manifest))
	for _, h := range rel.Hooks {
		fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
	}
	return b.String(), nil
}

func (t template) helm4() (string, error) {
	kube, err := common4.ParseKubeVersion(t.kube)
	if err != nil {
		return "", err
	}
	i := action4.NewInstall(action4.NewConfiguration())
	i.DryRunStrategy, i.Replace, i.IncludeCRDs, i.IsUpgrade = action4.DryRunClient, true, t.crds, t.upgrade
	i.KubeVersion, i.APIVersions, i.ReleaseName, i.Namespace = kube, common4.VersionSet(t.apis), t.name, t.namespace
	given, err := (&values4.Options{ValueFiles: t.values}).MergeValues(getter4.All(cli4.New()))
	if err != nil {
		return "", err
	}
	c, err := loader4.Load(t.chart)
	if err != nil {
		return "", err
	}
	about, err := chart4.NewAccessor(c)
	if err != nil {
		return "", err
	}
	if kind, _ := about.MetadataAsMap()["Type"].(string); kind != "" && kind != "application" {
		return "", fmt.Errorf("%s charts are not installable", kind)
	}
	if err := action4.CheckDependencies(c, about.MetaDependencies()); err != nil {
		return "", err
	}
	done, err := i.RunWithContext(context.Background(), c, given)
	if err != nil {
		return "", err
	}
	rel := done.(*release4.Release)
	var b strings.Builder
	fmt.Fprintln(&b, strings.TrimSpace(rel.Manifest))
	for _, h := range rel.Hooks {
		fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
	}
	return b.String(), nil
}
