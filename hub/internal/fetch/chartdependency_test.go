package fetch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// umbrella plays a GitRepository with a chart that needs app 1.x of a server, and fetches all else.
type umbrella struct {
	source.Fetcher
	url string
}

// Fetch implements source.Fetcher.
func (u *umbrella) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	if r.Object.Key.Kind != api.GitRepositoryKind {
		return u.Fetcher.Fetch(ctx, r)
	}
	text := "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies: [{name: app, version: 1.x, repository: '" +
		u.url + "'}]\n"
	return r.Workspace.Put(ctx, "00", artifact.Tree{Revision: "main@sha1:1", Contents: oneText(text),
		Files: []artifact.File{{Path: "Chart.yaml", Mode: artifact.Regular, Content: artifact.IdentifyContent([]byte(text))}},
	}, r.Last)
}

// oneText is the content of every file.
type oneText string

// Size implements artifact.Contents.
func (t oneText) Size(artifact.File) (int64, error) { return int64(len(t)), nil }

// Read implements artifact.Contents.
func (t oneText) Read(context.Context, artifact.File, int64) ([]byte, error) { return []byte(t), nil }

const (
	gitText = "{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: git, namespace: %s}, " +
		"spec: {interval: 1h, url: 'https://git.example.com/x'}}"
	umbrellaText = "{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmChart, " +
		"metadata: {name: umbrella, namespace: %s, annotations: {fleet.nave.io/dependency-repositories: charts}}, " +
		"spec: {interval: 1h, chart: ., sourceRef: {kind: GitRepository, name: git}}}"
)

// TestChart_dependencies fetches dependencies with the Secret of a HelmRepository: as long as the Secret is bound to
// the namespace, and for no other namespace.
func TestChart_dependencies(t *testing.T) {
	u := &umbrella{}
	c, server := startCharts(t, func(f *fetch.Config) { u.Fetcher, f.Fetcher = f.Fetcher, u })
	u.url = server.URL
	c.publish("1.0.0")
	c.auth = "hunter22"
	host := strings.TrimPrefix(server.URL, "http://")
	in := func(namespace string) []string {
		repository := strings.Replace(fmt.Sprintf(repositoryText, server.URL), "interval:", "secretRef: {name: login}, "+
			"interval:", 1)
		return []string{strings.Replace(repository, "namespace: apps", "namespace: "+namespace, 1),
			fmt.Sprintf(gitText, namespace), fmt.Sprintf(umbrellaText, namespace)}
	}
	key := func(namespace string) api.Key {
		return api.Key{Cluster: "east", Kind: api.HelmChartKind, Namespace: namespace, Name: "umbrella"}
	}
	c.put("east", "", in("apps")...)
	o := c.await(key("apps"), func(o store.Condition) bool { return o.Ready == "False" && o.Reason == "AccessDenied" })
	if strings.Contains(o.Message, "hunter22") {
		t.Errorf("the Secret is in %s", o.Message)
	}
	c.bind("hunter22", host)
	c.await(key("apps"), at("1.0.0"))
	asked := c.take()
	if asked["/index.yaml"] == 0 || asked["/app-1.0.0.tgz"] != 1 {
		t.Errorf("asked for %v", asked)
	}
	c.put("east", "", in("others")...)
	c.await(key("others"), func(o store.Condition) bool { return o.Ready == "False" && o.Reason == "AccessDenied" })
	if asked := c.take(); asked["/app-1.0.0.tgz"] > 0 {
		t.Errorf("for another namespace the server was asked for %v", asked)
	}
	c.bind("hunter22", "charts.example.com")
	o = c.await(key("apps"), func(o store.Condition) bool { return o.Ready == "False" && o.Reason == "AccessDenied" })
	if !strings.Contains(o.Message, "HelmRepository apps/charts") {
		t.Errorf("the message does not say whose Secret it is: %s", o.Message)
	}
}
