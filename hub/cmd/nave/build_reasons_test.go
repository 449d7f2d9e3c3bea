package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wait"
)

// fault is a fault in Git or among the objects of the hub. Each fault has a cluster of its own, with its name.
type fault struct {
	reason string   // that the hub gives
	files  []string // names and texts, below a folder of the fault's name; the root of the cluster is its folder root
	hub    string   // objects of the hub
	build  []string // the arguments of nave build, if they are not cluster and the name
}

// faults are by name. CLUSTER stands for the name.
var faults = map[string]fault{
	"syntax":        {reason: condition.BuildFailed, files: app("", "a.yaml", "a: [\n---\nb: {\n", "b.yaml", "no: object\n")},
	"no-resource":   {reason: condition.BuildFailed, files: app("", "kustomization.yaml", "resources: [nowhere.yaml]\n")},
	"no-component":  {reason: condition.BuildFailed, files: app("  components: [../nowhere]\n", "a.yaml", settings)},
	"bad-patch":     {reason: condition.BuildFailed, files: app("  patches: [{patch: 'a: ['}]\n", "a.yaml", settings)},
	"no-target":     {reason: condition.BuildFailed, files: app("", "a.yaml", settings, "kustomization.yaml", "resources: [a.yaml]\npatches: [{path: p.yaml}]\n", "p.yaml", strings.Replace(settings, "settings", "other", 1))},
	"twice":         {reason: condition.BuildFailed, files: app("", "a.yaml", settings, "b.yaml", settings)},
	"variable":      {reason: condition.BuildFailed, files: app("  postBuild: {substitute: {a: b}}\n", "a.yaml", settings+"data: {a: '${c}'}\n")},
	"expression":    {reason: condition.BuildFailed, files: app("  postBuild: {substitute: {a: b}}\n", "a.yaml", settings+"data: {a: '${a:='}\n")},
	"no-path":       {reason: condition.PathNotFound, files: []string{"root/app.yaml", kustomization("app", "CLUSTER/ap", ""), "app/a.yaml", settings}},
	"no-source":     {reason: condition.SourceNotReady, files: []string{"root/app.yaml", strings.Replace(kustomization("app", "x", ""), "name: fleet", "name: flet", 1)}},
	"source-kind":   {reason: condition.SourceNotReady, files: []string{"root/app.yaml", strings.Replace(kustomization("app", "x", ""), "GitRepository", "Bucket", 1)}},
	"unknown-field": {reason: condition.ObjectRefused, files: app("  dependOn: []\n  prone: true\n", "a.yaml", settings)},
	"provider":      {reason: condition.ObjectRefused, files: app("  decryption: {provider: pgp}\n", "a.yaml", sealedFile)},
	"hub-kind":      {reason: condition.ObjectRefused, files: app("", "fleet.yaml", settings+"---\n"+fleetOf("of-app", "{}", "x"))},
	"root-kind":     {reason: condition.ObjectRefused, files: []string{"root/fleet.yaml", fleetOf("of-root", "{}", "x")}},
	"unsupported":   {reason: condition.ObjectRefused, files: app("", "a.yaml", "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\nmetadata: {name: a, namespace: b}\n")},
	"long-name":     {reason: condition.ObjectRefused, files: app("", "a.yaml", kustomization(strings.Repeat("a", 254), "x", ""))},
	"tenant":        {reason: condition.ObjectRefused, files: app("  serviceAccountName: app\n", "a.yaml", strings.Replace(kustomization("x", "x", ""), "namespace: flux-system", "namespace: other", 1))},
	"given-twice":   {reason: condition.ObjectConflict, files: []string{"app/a.yaml", settings, "root/a.yaml", kustomization("one", "CLUSTER/app", "") + kustomization("two", "CLUSTER/app", "")}},
	"child-twice":   {reason: condition.ObjectConflict, files: []string{"app/a.yaml", kustomization("below", "x", ""), "root/a.yaml", kustomization("one", "CLUSTER/app", "") + kustomization("two", "CLUSTER/app", "")}},
	"two-roots":     {reason: condition.ObjectConflict, hub: strings.Replace(fleetOf("two-roots", "{matchLabels: {fault: two-roots}}", "x"), "template:\n", "template:\n    metadata: {name: flux-system}\n", 1)},
	"no-dependency": {reason: condition.DependencyNotFound, files: app("  dependsOn: [{name: infra}]\n", "a.yaml", settings)},
	"circle":        {reason: condition.DependencyCycle, files: []string{"app/a.yaml", settings, "root/a.yaml", kustomization("one", "CLUSTER/app", "  dependsOn: [{name: two}]\n") + kustomization("two", "CLUSTER/app", "  dependsOn: [{name: one}]\n")}},
	"dependency":    {reason: condition.DependencyNotReady, files: []string{"app/a.yaml", settings, "root/a.yaml", kustomization("one", "nowhere", "") + kustomization("two", "CLUSTER/app", "  dependsOn: [{name: one}]\n")}},
	"denied":        {reason: condition.AccessDenied, files: []string{"root/a.yaml", kustomization("giver", "CLUSTER/giver", "  serviceAccountName: giver\n") + kustomization("app", "CLUSTER/app", "  postBuild: {substituteFrom: [{kind: ConfigMap, name: settings}]}\n"), "giver/a.yaml", strings.Replace(settings, "default", "flux-system", 1), "app/a.yaml", settings + "data: {a: '${a}'}\n"}},
	"endless":       {reason: condition.SelfRenderEndless, files: turning(8)},
	"no-chart":      {reason: "InvalidChartReference", files: chart("nowhere", "version: 1.0.0", settings)},
	"chart-yaml":    {reason: "ChartPackageError", files: chart("chart", "", settings)},
	"redis":         {reason: "DependencyBuildError", files: chart("chart", "version: 1.0.0\ndependencies: [{name: redis, version: 1.0.0, repository: 'file://../redis'}]\n", settings)},
	"template":      {reason: condition.BuildFailed, files: chart("chart", "version: 1.0.0", "{{ required \"set size\" .Values.size }}\n")},
	"no-yaml":       {reason: condition.BuildFailed, files: chart("chart", "version: 1.0.0", "a: [\n")},
	"payload":       {reason: condition.ObjectRefused, files: []string{"hub/a.yaml", settings}, hub: kustomization("payload", "payload/hub", "")},
	"hub-field":     {reason: condition.ObjectRefused, files: []string{"hub/a.yaml", fleetOf("x", "{matchLabel: {}}", "x")}, hub: kustomization("hub-field", "hub-field/hub", "")},
	"release":       {reason: condition.Refused, files: append(chart("chart", "version: 1.0.0", ""), "hub/a.yaml", releaseOf("release", "chart")), hub: kustomization("hub-release", "release/hub", "")},
	"no-variable":   {reason: condition.TemplateFailed, hub: fleetOf("no-variable", "{matchLabels: {fault: no-variable}}", "x/${nothing}")},
	"images":        {reason: condition.SpokeImageConflict, hub: imageOf("images", "one") + imageOf("images", "two")},
	"no-clusters":   {reason: condition.NoClusters, hub: fleetOf("no-clusters", "{matchLabels: {nobody: has}}", "x"), build: []string{"fleet", "no-clusters"}},
}

// beyondBuild has the reasons that no build can give, and why.
var beyondBuild = reasonsBy(map[string]string{
	"the server of the source decides": "VerificationError AuthenticationFailed FetchFailed BucketOperationFailed " +
		"GitOperationFailed InvalidCommitSignature InvalidTagSignature ChartPullError IndexationFailed " +
		"OCIArtifactPullFailed ReadOperationFailed RateLimited Failure ImageUpdateFailed",
	"it says that the hub has not fetched a source; a build has the folder, or names the flag for it": "ArtifactFailed",
	"it is of the hub's disk, store or history": "StorageOperationFailed SecretUnreadable BundleUnread BlobsUnread " +
		"HubBehind BundleFork BundleRefused ReportsLimited",
	"TestStories/sources of hub/internal/plan has it: it needs two trees":      "SourceUnstable",
	"TestUnstable of hub/internal/plan/graph has it: it needs an earlier walk": "GraphUnstable",
	"TestPreview_too_large of hub/internal/plan has it":                        "ApplicationTooLarge BundleTooLarge",
	"only the cluster has the object, or can tell": "InputNotReady InputUnreadable CapabilitiesUnknown DecryptionFailed " +
		"KeyServiceUnavailable HealthCheckFailed ReconciliationFailed PruneFailed",
	"it is about what ran before": "PruneHeld RemovalHeld Pending Progressing Suspended Resumed Pinned PinEnded " +
		"TagsExcluded TagsIncluded " +
		"Blocked InstallFailed UpgradeFailed TestFailed RollbackFailed UninstallFailed RetriesExceeded ReleaseHeld " +
		"MissingRollbackTarget DriftDetected DriftHeld DriftRepaired Adopted TakenOver",
	"it is about the spoke and its connection": "NotRegistered JoinTokenRefused Offline Online BundleRejected " +
		"BundleHeldBack SpokeUpgradePending SpokeUpgrading SpokeUpgradeFailed SpokeNotUpgradable SpokeUpgraded " +
		"WrongCluster SettingsRefused SigningKeysRefused DuplicateSpoke CertificateRevoked CertificateEnds " +
		"RegistrationRefused AckUnoffered",
	"it is about how a change moves through the clusters": "RolloutProgressing RolloutWaiting RolloutSuspended " +
		"RolloutFailed RolloutRollingBack RolloutRolledBack RolloutAborted RolloutSucceeded RolloutSuperseded " +
		"RolloutApproved RolloutControlled",
	"it is no failure": "InstallSucceeded UpgradeSucceeded TestSucceeded RollbackSucceeded UninstallSucceeded " +
		"ReconciliationSucceeded RemovalConfirmed Registered Deleted NewArtifact Notice ImageUpdateIncomplete " +
		"BuildSucceeded Planned",
})

func reasonsBy(why map[string]string) map[string]string {
	all := map[string]string{}
	for text, reasons := range why {
		for _, reason := range strings.Fields(reasons) {
			all[reason] = text
		}
	}
	return all
}

const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\n"

// kustomization returns a Kustomization that reads a folder of the repository, with more fields of its spec.
func kustomization(name, path, more string) string {
	return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name +
		", namespace: flux-system}\nspec:\n  interval: 10m\n  prune: true\n  path: " + path +
		"\n  sourceRef: {kind: GitRepository, name: fleet}\n" + more + "---\n"
}

// app returns the files of a cluster with one Kustomization, with more fields of its spec, and files of its own.
func app(more string, files ...string) []string {
	all := []string{"root/app.yaml", kustomization("app", "CLUSTER/app", more)}
	for i := 0; i < len(files); i += 2 {
		all = append(all, "app/"+files[i], files[i+1])
	}
	return all
}

// chart returns the files of a cluster with a chart, with more of its Chart.yaml, and a release of the chart at a path.
func chart(path, more, template string) []string {
	return []string{"root/release.yaml", releaseOf("app", path), "chart/templates/all.yaml", template,
		"chart/Chart.yaml", "apiVersion: v2\nname: app\n" + more + "\n"}
}

// releaseOf returns a HelmRelease of a chart at a path.
func releaseOf(name, path string) string {
	return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: " + name + ", namespace: " +
		"flux-system}\nspec: {interval: 10m, chart: {spec: {chart: CLUSTER/" + path +
		", sourceRef: {kind: GitRepository, name: fleet}}}}\n"
}

// turning returns the files of a cluster whose root names another folder of its own so many times.
func turning(times int) (files []string) {
	folder := "root"
	for i := range times {
		files = append(files, folder+"/root.yaml", kustomization("flux-system", fmt.Sprint("CLUSTER/", i), ""))
		folder = fmt.Sprint(i)
	}
	return append(files, folder+"/a.yaml", settings)
}

// fleetOf returns a Fleet with a selector and the path of its root.
func fleetOf(name, selector, path string) string {
	return "apiVersion: fleet.nave.io/v1alpha1\nkind: Fleet\nmetadata: {name: " + name + "}\nspec:\n  clusterSelector: " +
		selector + "\n  template:\n    spec: {interval: 10m, prune: true, path: '" + path +
		"', sourceRef: {kind: GitRepository, name: fleet}}\n"
}

// imageOf returns a Fleet that wants an image for the spoke of a cluster.
func imageOf(cluster, image string) string {
	return "---\n" + strings.Replace(fleetOf(cluster+"-"+image, "{matchLabels: {fault: "+cluster+"}}", cluster+"/root"),
		"  template:\n", "  spoke: {image: 'registry.example.com/spoke:"+image+"'}\n  template:\n    metadata: {name: "+image+
			"}\n", 1)
}

// faultyFleet returns a repository with the faults. The objects of the hub that all of them need are in hub/fleet.yaml,
// those of each fault in a file of its name.
func faultyFleet() map[string]string {
	files := map[string]string{"hub/fleet.yaml": "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n" +
		"metadata: {name: fleet, namespace: flux-system}\nspec: {interval: 1m, url: 'https://git.example.com/org/fleet'}\n" +
		"---\n" + fleetOf("all", "{}", "./${cluster_name}/root")}
	for name, f := range faults {
		files["hub/"+name+".yaml"] = "{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: " + name +
			", labels: {fault: " + name + "}}}\n---\n" + f.hub
		files[name+"/root/kustomization.yaml"] = "resources: []\n"
		for i := 0; i < len(f.files); i += 2 {
			if strings.HasPrefix(f.files[i], "root/") {
				delete(files, name+"/root/kustomization.yaml")
			}
			files[name+"/"+f.files[i]] = strings.ReplaceAll(f.files[i+1], "CLUSTER", name)
		}
	}
	return files
}

// tellCapabilities writes what dispatch writes when the spokes of all faults tell what their API servers serve, which
// charts need.
func tellCapabilities(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(filepath.Join(dir, "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data, err := proto.Marshal(&spokev1.Capabilities{KubernetesVersion: "v1.36.0"})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := s.Blobs().Put(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		for cluster := range faults {
			row := store.Spoke{Version: "v1", Capabilities: digest, Features: bundle.Known}
			if err := store.Spokes.Put(tx, cluster, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// faultyHub runs a hub with the repository of the faults in a folder.
func faultyHub(t *testing.T, folder string) adminv1.AdminServiceClient {
	t.Helper()
	dir := t.TempDir()
	tellCapabilities(t, dir)
	files := faultyFleet()
	manifest := files["hub/fleet.yaml"]
	for name := range faults {
		manifest += "---\n" + files["hub/"+name+".yaml"]
	}
	_, client := runHub(t, hub.Config{DataDir: dir,
		NewKeys: []string{"signing.key", "ca", "vault.key"}}, folder, manifest) // the store is older
	return client
}

// besidesWords are the parts of a message of the hub that no build has: revisions, and what else is so.
var besidesWords = regexp.MustCompile(`^(build of|render of chart) \S+: | at main@\S+|^Failed: |^Fails on \d+ of \d+ clusters: `)

// unfetched is what the hub says for a moment of an object whose source it will fetch.
const unfetched = "has not been fetched yet"

// words waits until the hub gives the reason of a fault to an object, and returns the lines of its message.
func (f fault) words(t *testing.T, client adminv1.AdminServiceClient, cluster string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	in, kinds := cluster, []string{"Kustomization", "HelmRelease", "HelmChart"}
	if f.hub != "" {
		in, kinds = "", append(kinds, "Cluster", "Fleet")
	}
	for {
		for _, kind := range kinds {
			answer, err := client.List(ctx, &adminv1.ListRequest{Kind: kind, Cluster: in})
			if err != nil {
				t.Fatalf("the hub gives no object the reason %s: %v", f.reason, err)
			}
			for _, o := range answer.GetObjects() {
				if message, ok := messageOf(t, o, f.reason); ok && (f.hub == "" || o.GetKey().GetName() == cluster) {
					return strings.Split(besidesWords.ReplaceAllString(message, ""), "\n")
				}
			}
		}
		if err := wait.For(ctx, 50*time.Millisecond); err != nil {
			t.Fatalf("the hub gives no object the reason %s: %v", f.reason, err)
		}
	}
}

// messageOf returns the message of the condition of an object that has a reason.
func messageOf(t *testing.T, o *adminv1.Object, reason string) (message string, ok bool) {
	t.Helper()
	var object struct {
		Status struct {
			Conditions []struct{ Status, Reason, Message string } `json:"conditions"`
		} `json:"status"`
	}
	if err := json.Unmarshal(o.GetJson(), &object); err != nil {
		t.Fatal(err)
	}
	for _, c := range object.Status.Conditions {
		if c.Reason == reason && c.Status != "True" && !strings.Contains(c.Message, unfetched) {
			return c.Message, true
		}
	}
	return "", false
}

// TestBuild_reasons refuses each fault with the words of the hub.
func TestBuild_reasons(t *testing.T) {
	root := tree(t, faultyFleet())
	client := faultyHub(t, root)
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			args := f.build
			if args == nil {
				args = []string{"cluster", name}
			}
			_, err := run(t, slices.Concat([]string{"build"}, args, []string{root, "-f", filepath.Join(root, "hub/fleet.yaml"),
				"-f", filepath.Join(root, "hub", name+".yaml")})...)
			for _, line := range f.words(t, client, name) {
				if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(line)) {
					t.Errorf("nave build says\n%v\nthe hub\n%s", err, line)
				}
			}
		})
	}
}

// TestBuild_every_reason wants each reason of docs/troubleshooting.md among the faults, or why no build gives it.
func TestBuild_every_reason(t *testing.T) {
	text, err := os.ReadFile("../../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(text), "\n## Reasons\n")
	tables, _, _ = strings.Cut(tables, "\n## Cases\n")
	rows := map[string]bool{}
	for _, f := range faults {
		rows[f.reason] = true
	}
	for reason := range beyondBuild {
		if rows[reason] {
			t.Errorf("a build gives the reason %s, and is said not to", reason)
		}
		rows[reason] = true
	}
	documented := map[string]bool{}
	for _, cell := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(tables, -1) {
		names, _, _ := strings.Cut(cell[1], " (")
		for _, reason := range strings.Split(names, ", ") {
			documented[strings.Trim(reason, "`")] = true
		}
	}
	if len(documented) < 80 {
		t.Fatalf("only %d reasons are found", len(documented))
	}
	for _, reason := range slices.Sorted(maps.Keys(documented)) {
		if !rows[reason] {
			t.Errorf("%s: show that nave build refuses it as the hub does, or say why it cannot", reason)
		}
	}
	for reason := range rows {
		if !documented[reason] {
			t.Errorf("%s is no reason of docs/troubleshooting.md", reason)
		}
	}
}
