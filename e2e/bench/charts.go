package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/version"
)

const (
	chartClusters = 1000
	chartRounds   = 5
)

//go:embed all:chart
var chartFiles embed.FS

// chartTree returns the files of the chart below a folder.
func chartTree(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(chartFiles, "chart", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := chartFiles.ReadFile(path)
		files[dir+strings.TrimPrefix(path, "chart")] = string(b)
		return err
	})
	return files, err
}

// renderCharts measures how long the hub takes from a fetched commit until the bundles of all clusters are signed and
// stored, for clusters that all run one HelmRelease of a chart as `helm create` makes it; medians of five rounds. The
// spokes have registered, said what they know and what their API servers serve, and gone away: nothing is sent.
//
//	render.helm_ms               one cluster; the commit changed the values, so that the chart is rendered
//	render.helm_again_ms         one cluster; the commit changed a file that nothing uses
//	render.helm_1000_equal_ms    1,000 clusters; the commit changed the values, which all have. The run fails unless the
//	                             chart was rendered once
//	render.helm_1000_vars_ms     1,000 clusters; the commit changed the values, of which one is the cluster's name. The
//	                             run fails unless the chart was rendered for each cluster
//	render.plain_1000_ms         1,000 clusters; a Kustomization of the same objects in place of the HelmRelease, of
//	                             which the commit changed one
//	render.helm_1000_plain_ratio equal ÷ plain
func renderCharts(ctx context.Context, w *workshop) ([]Result, error) {
	c := &chartStand{workshop: w}
	err := c.start(ctx)
	var results []Result
	if err == nil {
		results, err = c.measure(ctx)
	}
	return results, errors.Join(err, c.close())
}

// chartStand is a hub with clusters whose spokes have gone away, and a repository with a chart.
type chartStand struct {
	*workshop
	fleet *harness.Fleet
	hub   *operator
}

func (c *chartStand) close() error {
	var errs []error
	if c.hub != nil {
		errs = append(errs, c.hub.conn.Close())
	}
	if c.fleet != nil {
		errs = append(errs, c.fleet.Close())
	}
	return errors.Join(errs...)
}

func (c *chartStand) start(ctx context.Context) (err error) {
	if c.fleet, err = c.lab.NewFleet(ctx, "--log-level=info"); err != nil {
		return err
	}
	files, err := chartTree("charts/web")
	if err != nil {
		return err
	}
	files["hub/fleet.yaml"] = fleetManifest("{matchLabels: {bench: one}}", true)
	files["apps/release.yaml"] = releaseOf("web", "first", "here")
	if err := c.fleet.Bootstrap(ctx, files); err != nil {
		return err
	}
	if c.hub, err = newOperator(c.fleet.Config()); err != nil {
		return err
	}
	var clusters strings.Builder
	for i := range chartClusters {
		label := "many"
		if i == 0 {
			label = "one"
		}
		fmt.Fprintf(&clusters, "---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s, labels: "+
			"{bench: %s}}\n", spokeName(i), label)
	}
	if _, err := c.hub.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(clusters.String())}); err != nil {
		return err
	}
	started := time.Now()
	if err := c.introduce(ctx); err != nil {
		return err
	}
	c.say("%d spokes were there and went in %s", chartClusters, time.Since(started).Round(time.Millisecond))
	return nil
}

// releaseOf is a HelmRelease of the chart, with a value that changes and one that differs between clusters.
func releaseOf(name, changing, place string) string {
	return fmt.Sprintf(`apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: %s, namespace: flux-system}
spec:
  interval: 1h
  targetNamespace: default
  chart: {spec: {chart: charts/web, interval: 1h, sourceRef: {kind: GitRepository, name: hub}}}
  values:
    replicaCount: 2
    config: {greeting: %q, place: %q}
`, name, changing, place)
}

// introduce registers all spokes, and lets each tell the hub what it knows.
func (c *chartStand) introduce(ctx context.Context) error {
	names := make([]string, chartClusters)
	for i := range names {
		names[i] = spokeName(i)
	}
	tickets, err := issueTickets(ctx, c.hub, names)
	if err != nil {
		return err
	}
	g, joining := errgroup.WithContext(ctx)
	g.SetLimit(setupWorkers)
	for _, t := range tickets {
		g.Go(func() error {
			s, err := register(joining, t)
			if err != nil {
				return fmt.Errorf("register %s: %w", t.Name, err)
			}
			defer s.hangUp()
			return c.tell(joining, s)
		})
	}
	return g.Wait()
}

// tell opens a session, says which features and APIs there are, and waits until the hub has read it.
func (c *chartStand) tell(ctx context.Context, s *scripted) error {
	hello := &spokev1.Hello{Protocol: version.OldestProtocol, NewestProtocol: version.Protocol, Version: "bench",
		KubernetesVersion: "v1.37.2", Verified: &spokev1.BundleId{}, Features: bundle.Known.Names()}
	if err := s.open(ctx, hello); err != nil {
		return fmt.Errorf("session of %s: %w", s.name, err)
	}
	served, err := proto.Marshal(&spokev1.Capabilities{KubernetesVersion: "v1.37.2",
		GroupVersions: []*spokev1.GroupVersion{{Version: "v1", Kinds: []string{"ConfigMap", "Service"}}}})
	if err != nil {
		return err
	}
	err = s.send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Capabilities{Capabilities: served}})
	if err != nil {
		return err
	}
	return kubetest.Until(ctx, "the capabilities of "+s.name, func(ctx context.Context) error {
		_, err := c.hub.Capabilities(ctx, &adminv1.CapabilitiesRequest{Cluster: s.name})
		return err
	})
}

func (c *chartStand) measure(ctx context.Context) ([]Result, error) {
	cold, again, err := c.one(ctx)
	if err != nil {
		return nil, fmt.Errorf("one cluster: %w", err)
	}
	everybody := map[string]string{"hub/fleet.yaml": fleetManifest("", true)}
	if _, err := c.commit(ctx, everybody, chartClusters); err != nil {
		return nil, fmt.Errorf("all clusters: %w", err)
	}
	equal, err := c.rounds(ctx, 1, func(round string) map[string]string {
		return map[string]string{"apps/release.yaml": releaseOf("web", round, "here")}
	})
	if err != nil {
		return nil, fmt.Errorf("equal values: %w", err)
	}
	vars, err := c.vars(ctx)
	if err != nil {
		return nil, fmt.Errorf("values of their own: %w", err)
	}
	plain, err := c.plain(ctx)
	if err != nil {
		return nil, fmt.Errorf("a Kustomization: %w", err)
	}
	return []Result{
		figure("render.helm_ms", cold, "ms"),
		figure("render.helm_again_ms", again, "ms"),
		figure("render.helm_1000_equal_ms", equal, "ms"),
		figure("render.helm_1000_vars_ms", vars, "ms"),
		figure("render.plain_1000_ms", plain, "ms"),
		figure("render.helm_1000_plain_ratio", equal/plain, "ratio"),
	}, nil
}

// one measures one cluster.
func (c *chartStand) one(ctx context.Context) (cold, again float64, err error) {
	var colds, agains []float64
	for round := range chartRounds + 1 {
		value := map[string]string{"apps/release.yaml": releaseOf("web", fmt.Sprint("one ", round), "here")}
		took, err := c.commit(ctx, value, 1)
		if err != nil {
			return 0, 0, err
		}
		readme := map[string]string{"README.md": fmt.Sprint("round ", round)}
		nothing, err := c.commit(ctx, readme, 1)
		if err != nil {
			return 0, 0, err
		}
		if round > 0 {
			colds, agains = append(colds, milliseconds(took)), append(agains, milliseconds(nothing))
		}
	}
	return median(colds), median(agains), nil
}

// rounds measures all clusters, with other files each round. The hub renders as many charts as wanted, and some more:
// the root, and what it gives.
func (c *chartStand) rounds(ctx context.Context, charts float64, files func(round string) map[string]string) (float64,
	error) {
	var samples []float64
	for round := range chartRounds + 1 {
		before, err := c.renders(ctx)
		if err != nil {
			return 0, err
		}
		took, err := c.commit(ctx, files(fmt.Sprint("round ", round)), chartClusters)
		if err != nil {
			return 0, err
		}
		after, err := c.renders(ctx)
		if err != nil {
			return 0, err
		}
		c.say("round %d: %s, %.0f renders", round, took, after-before)
		const others = 5
		if done := after - before; round > 0 && (done < charts || done > charts+others) {
			return 0, fmt.Errorf("the hub rendered %.0f times, want %.0f\n%s", done, charts, c.fleet.Hub.Tail())
		}
		if round > 0 {
			samples = append(samples, milliseconds(took))
		}
	}
	return median(samples), nil
}

// vars measures values of which one is the cluster's name. The root puts it in, so that the root is rendered for each
// cluster, too.
func (c *chartStand) vars(ctx context.Context) (float64, error) {
	own := strings.Replace(fleetManifest("", true), "      path:",
		"      postBuild: {substitute: {place: \"${cluster_name}\"}}\n      path:", 1)
	begin := map[string]string{"hub/fleet.yaml": own, "apps/release.yaml": releaseOf("web", "own", "${place}")}
	if _, err := c.commit(ctx, begin, chartClusters); err != nil {
		return 0, err
	}
	return c.rounds(ctx, 2*chartClusters, func(round string) map[string]string {
		return map[string]string{"apps/release.yaml": releaseOf("web", round, "${place}")}
	})
}

// plain measures a Kustomization of the objects of the chart.
func (c *chartStand) plain(ctx context.Context) (float64, error) {
	config := func(round string) string {
		return strings.ReplaceAll(plainConfig, "ROUND", round)
	}
	begin := map[string]string{"hub/fleet.yaml": fleetManifest("", true), "apps/release.yaml": plainKustomization,
		"plain/web.yaml": plainObjects, "plain/config.yaml": config("begin")}
	if _, err := c.commit(ctx, begin, chartClusters); err != nil {
		return 0, err
	}
	return c.rounds(ctx, 1, func(round string) map[string]string {
		return map[string]string{"plain/config.yaml": config(round)}
	})
}

func (c *chartStand) renders(ctx context.Context) (float64, error) {
	return c.fleet.Hub.Metric(ctx, `nave_render_answers_total{by="render"}`)
}

// commit commits files and returns the time from the artifact until so many bundles were signed; after that it waits
// until the hub has nothing more to sign.
func (c *chartStand) commit(ctx context.Context, files map[string]string, bundles int) (time.Duration, error) {
	offset, err := logSize(c.fleet.Hub)
	if err != nil {
		return 0, err
	}
	if _, err := c.fleet.Repo.Apply(gittest.Change{Files: files}); err != nil {
		return 0, err
	}
	if err := c.hub.fetch(ctx); err != nil {
		return 0, err
	}
	var published time.Time
	err = kubetest.Until(ctx, "new bundles", func(context.Context) (err error) {
		published, _, err = signed(c.fleet.Hub.Log, offset, bundles)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, c.fleet.Hub.Tail())
	}
	fetched, err := firstLogged(c.fleet.Hub.Log, offset, "new artifact")
	if err != nil {
		return 0, err
	}
	return published.Sub(fetched), c.quiet(ctx, offset, bundles)
}

// quiet waits until a second went by without a signature, and tells how many there were beyond those that were wanted.
func (c *chartStand) quiet(ctx context.Context, offset int64, bundles int) error {
	last, since := 0, time.Now()
	err := kubetest.Until(ctx, "a quiet hub", func(context.Context) error {
		_, all, err := signed(c.fleet.Hub.Log, offset, 0)
		if err == nil && all == last && time.Since(since) > time.Second {
			return nil
		}
		if all != last {
			last, since = all, time.Now()
		}
		return errors.Join(err, errors.New("it still signs"))
	})
	if last > bundles {
		c.say("bundles that the commit does not need: %d", last-bundles)
	}
	return err
}

var signedCount = regexp.MustCompile(`msg="published bundles".* signed=(\d+)`)

// signed returns when the n-th bundle after a position of the log was signed, and how many were signed at all.
func signed(path string, offset int64, n int) (at time.Time, all int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return at, 0, err
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return at, 0, err
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		found := signedCount.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		count, err := strconv.Atoi(found[1])
		if err != nil {
			return at, all, err
		}
		if all += count; at.IsZero() && all >= n {
			stamp, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "time="), " ")
			if at, err = time.Parse(time.RFC3339Nano, stamp); err != nil {
				return at, all, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return at, all, err
	}
	if all < n {
		return at, all, fmt.Errorf("%d of %d bundles are signed", all, n)
	}
	return at, all, nil
}

const plainKustomization = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: web, namespace: flux-system}
spec:
  interval: 1h
  prune: true
  path: ./plain
  targetNamespace: default
  sourceRef: {kind: GitRepository, name: hub}
`

const plainConfig = `apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {color: red, greeting: ROUND, place: here}
`

// plainObjects are the other objects of the chart.
const plainObjects = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ports: [{name: http, port: 80, targetPort: http, protocol: TCP}]
  selector: {app: web}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: nginx
  rules:
  - host: web.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
      - name: web
        image: registry.example.com/web:2.4
        ports: [{name: http, containerPort: 80, protocol: TCP}]
        envFrom: [{configMapRef: {name: web}}]
        readinessProbe: {httpGet: {path: /, port: http}}
        resources: {limits: {cpu: 100m, memory: 128Mi}, requests: {cpu: 50m, memory: 64Mi}}
`
