package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/helmtest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const (
	installRounds  = 7
	manyReleases   = 20
	releaseObjects = 30
)

// installRelease installs releases of one chart through Nave and with the real helm (Helm 3), in turn, on one API
// server, whose nodes make Pods ready at once.
//
//	helm.install_to_ready_ms     push done and reconciliation requested → an operator who watches the HelmRelease is
//	                             told that it is Ready; the median of the rounds. In it: git's fetch, making and fetching
//	                             the chart, rendering, signing, the install with its record, health, the spoke's report
//	helm.cli_ms                  `helm install --wait` of the same chart and values from a folder, from the start of the
//	                             process to its end; the median
//	helm.install_to_ready_ratio  the median of Nave ÷ helm
func installRelease(ctx context.Context, w *workshop) ([]Result, error) {
	helm, err := helmtest.New(ctx, 3)
	if err != nil {
		return nil, err
	}
	st, err := w.newStand(ctx, setting{files: tree("default", 1, "first")})
	if err != nil {
		return nil, err
	}
	results, err := st.installs(ctx, helm)
	return results, errors.Join(err, st.close())
}

func (st *stand) installs(ctx context.Context, helm helmtest.Helm) ([]Result, error) {
	files, err := chartTree("charts/web")
	if err != nil {
		return nil, err
	}
	before, err := st.healthy(ctx, 0)
	if err != nil {
		return nil, err
	}
	if _, err := st.push(ctx, gittest.Change{Files: files}); err != nil {
		return nil, err
	}
	if _, err := st.healthy(ctx, before); err != nil {
		return nil, err
	}
	chart := filepath.Join(st.fleet.Dir, "chart")
	if err := writeFiles(chart, files); err != nil {
		return nil, err
	}
	var ours, theirs, ratios []float64
	for round := range installRounds + 1 {
		a, b, err := st.installRound(ctx, helm, filepath.Join(chart, "charts", "web"), round)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		st.say("round %d: Nave %s, helm %s", round, a.Round(time.Millisecond), b.Round(time.Millisecond))
		if round == 0 {
			continue
		}
		ours, theirs = append(ours, milliseconds(a)), append(theirs, milliseconds(b))
		ratios = append(ratios, float64(a)/float64(b))
	}
	return []Result{
		figure("helm.install_to_ready_ms", median(ours), "ms"),
		figure("helm.cli_ms", median(theirs), "ms"),
		figure("helm.install_to_ready_ratio", median(ratios), "ratio"),
	}, nil
}

func writeFiles(dir string, files map[string]string) error {
	for path, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// installRound lets both install; who goes first changes from round to round.
func (st *stand) installRound(ctx context.Context, helm helmtest.Helm, chart string, round int) (ours,
	theirs time.Duration, err error) {
	both := []func() error{
		func() (err error) { ours, err = st.installByNave(ctx, fmt.Sprint("ours-", round)); return err },
		func() error {
			started := time.Now()
			_, err := helm.Run(ctx, st.cluster.Kubeconfig, "install", fmt.Sprint("theirs-", round), chart, "--wait",
				"--namespace", "default", "--set", "replicaCount=2,config.greeting=first,config.place=here")
			theirs = time.Since(started)
			return err
		},
	}
	for i := range both {
		if err := both[(i+round)%2](); err != nil {
			return 0, 0, err
		}
	}
	return ours, theirs, rest(ctx)
}

func (st *stand) installByNave(ctx context.Context, name string) (time.Duration, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watch, err := st.hub.Watch(ctx, &adminv1.WatchRequest{Name: name, List: &adminv1.ListRequest{Kind: "HelmRelease",
		Namespace: "flux-system", Cluster: st.cluster.Name}})
	if err != nil {
		return 0, err
	}
	asked, err := st.push(ctx, gittest.Change{Files: map[string]string{
		"apps/" + name + ".yaml": releaseOf(name, "first", "here")}})
	if err != nil {
		return 0, err
	}
	for {
		seen, err := watch.Recv()
		if err != nil {
			return 0, fmt.Errorf("watch HelmRelease %s: %w\n%s", name, err, st.spoke.Tail())
		}
		if isReady(seen.GetObject().GetJson()) {
			return time.Since(asked), nil
		}
	}
}

// isReady reports whether an object has the condition Ready.
func isReady(object []byte) bool {
	var o struct {
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	if json.Unmarshal(object, &o) != nil {
		return false
	}
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return true
		}
	}
	return false
}

// releaseMemory measures the resident memory of a spoke that has installed 20 releases at once, each of 30 ConfigMaps
// of 2.5 kB, when the memory has settled (settledMemory).
//
//	spoke.rss_20_releases_mib   all of it
//	spoke.anon_20_releases_mib  of that the anonymous memory
func releaseMemory(ctx context.Context, w *workshop) ([]Result, error) {
	files := map[string]string{
		"charts/many/Chart.yaml":          "apiVersion: v2\nname: many\nversion: 1.0.0\n",
		"charts/many/templates/many.yaml": manyTemplate,
	}
	files["hub/fleet.yaml"] = fleetManifest("", true)
	for i := range manyReleases {
		files[fmt.Sprintf("apps/release-%02d.yaml", i)] = strings.ReplaceAll(releaseOf(fmt.Sprintf("many-%02d", i), "first",
			"here"), "charts/web", "charts/many")
	}
	st, err := w.newStand(ctx, setting{selector: "{matchLabels: {bench: later}}", files: tree("default", 1, "first")})
	if err != nil {
		return nil, err
	}
	results, err := st.releaseMemory(ctx, files)
	return results, errors.Join(err, st.close())
}

func (st *stand) releaseMemory(ctx context.Context, files map[string]string) ([]Result, error) {
	if err := st.connected(ctx); err != nil {
		return nil, err
	}
	if _, err := st.push(ctx, gittest.Change{Files: files}); err != nil {
		return nil, err
	}
	if err := st.keeping(ctx, manyReleases*releaseObjects); err != nil {
		return nil, err
	}
	spoke, err := settledMemory(ctx, st.spoke.Process)
	return []Result{
		figure("spoke.rss_20_releases_mib", spoke.resident, "MiB"),
		figure("spoke.anon_20_releases_mib", spoke.anonymous, "MiB"),
	}, err
}

// manyTemplate is a chart's template of 30 objects.
var manyTemplate = fmt.Sprintf(`{{- range $i := until %d }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ $.Release.Name }}-{{ $i }}, labels: {app.kubernetes.io/instance: {{ $.Release.Name }}}}
data:
  greeting: {{ $.Values.config.greeting }}
  text: {{ repeat 500 "text " | quote }}
{{- end }}
`, releaseObjects)
