package arch

import (
	"slices"
	"strings"
)

// module is the path that our own packages start with.
const module = "github.com/navefleet/nave"

// layer has packages that may import those of lower layers. Packages of one layer do not import each other.
type layer struct {
	name     string
	packages []string
}

// layers are listed from the bottom up. A package that is not listed belongs to the nearest listed folder above it;
// "=" in front of a name keeps its subfolders out of that. "/*" at the end stands for each folder in the named one.
var layers = []layer{
	{"L0 the wire, what is signed", []string{"proto/nave/bundle"}},
	{"L0 the wire", []string{"proto"}},
	{"L0 files that survive a crash, words of messages, manifests inside of binaries", []string{"shared/durable",
		"shared/wording", "deploy"}},
	{"L0 variables in texts, regular expressions", []string{"shared/substitution", "shared/pattern"}},
	{"L1 shared nouns and verbs", []string{
		"shared/version", "shared/manifest", "shared/signing", "shared/identity", "shared/health", "shared/condition",
		"shared/sealed", "shared/telemetry", "shared/memory", "shared/reporting", "shared/wait",
	}},
	{"L2 bundles, expressions, how daemons start, caches", []string{"shared/bundle", "shared/expression", "shared/daemon",
		"hub/internal/lru", "hub/internal/image", "hub/internal/template", "hub/internal/backup"}},
	{"L3 kinds, artifacts, processes; the spoke's adapters", []string{
		"hub/api", "hub/operatorconfig", "hub/internal/artifact", "hub/internal/dial", "hub/internal/confine",
		"hub/internal/openapi", "hub/internal/pace", "hub/internal/trace",
		"spoke/internal/kube", "spoke/internal/trust", "spoke/internal/decrypt", "spoke/internal/generate",
		"spoke/internal/state",
	}},
	{"L4 decisions that rows keep", []string{"hub/internal/rollout"}},
	{"L4 sources, renderers, store", []string{
		"hub/internal/store", "hub/internal/plan/graph", "=hub/internal/source",
		"=hub/internal/render",
		"spoke/internal/inventory", "spoke/internal/health", "spoke/internal/release",
	}},
	{"L4 what fetchers stand on", []string{"hub/internal/source/registry", "hub/internal/source/forge"}},
	{"L4 what renderers stand on", []string{"hub/internal/render/tree", "hub/internal/render/seal"}},
	{
		"L4 fetchers, renderers",
		[]string{"hub/internal/source/*", "hub/internal/render/*"}, // beside those that another layer names
	},
	{"L4 what stands on one fetcher", []string{"hub/internal/source/git/writeback"}},
	{"L4 what stands on store and renderers", []string{
		"hub/internal/loop", "hub/internal/release", "hub/internal/status",
		"hub/internal/render/worker", "hub/internal/render/cache", "hub/internal/source/worker",
		"spoke/internal/watch",
	}},
	{"L4 the signing keys", []string{"hub/internal/signer"}},
	{"L5 the loops and the servers", []string{
		"hub/internal/fetch", "hub/internal/plan", "hub/internal/publish", "hub/internal/automation", "hub/internal/notify",
		"hub/internal/dispatch", "hub/internal/registration", "hub/internal/admin", "hub/internal/webhook",
		"hub/internal/statemetrics", "hub/internal/upgrade", "hub/internal/stages",
		"spoke/internal/apply", "spoke/internal/ledger", "spoke/internal/session", "spoke/internal/report",
		"spoke/internal/upgrade",
	}},
	{"L5 the objects of releases", []string{"spoke/internal/release/objects"}},
	{"L6 the agent, who the spoke is, the web",
		[]string{"hub/internal/web", "hub/internal/migrate", "spoke/internal/agent", "spoke/internal/membership"}},
	{"L7 composition roots", []string{"=hub", "=spoke"}},
	{"L8 commands", []string{"hub/cmd", "spoke/cmd"}},
	{
		"L9 real parts for tests",
		[]string{"e2e/gittest", "e2e/ocitest", "e2e/kubetest", "e2e/level", "e2e/heap", "e2e/cpu", "e2e/sopstest",
			"e2e/s3test", "e2e/forgetest", "e2e/treetest", "e2e/faults/proxy"},
	},
	{"L9 the harness, Flux, Helm, the reference",
		[]string{"e2e/harness", "e2e/fluxtest", "e2e/helmtest", "e2e/reference"}},
	{"L9 stories, benchmarks, demo, tools", []string{"=e2e", "e2e/arch", "e2e/bench", "e2e/demo", "=e2e/faults",
		"e2e/kubetest/prepare"}},
}

// place returns the layer of a package (its path below the module), or -1. A name counts before a pattern.
func place(path string) int {
	for at := path; ; {
		up := strings.LastIndexByte(at, '/')
		if i := layerOf(at); i >= 0 {
			return i
		}
		if i := layerOf("=" + at); i >= 0 && at == path {
			return i
		}
		if up < 0 {
			return -1
		}
		if i := layerOf(at[:up] + "/*"); i >= 0 {
			return i
		}
		at = at[:up]
	}
}

// layerOf returns the layer that lists a package under a name, or -1.
func layerOf(listed string) int {
	return slices.IndexFunc(layers, func(l layer) bool { return slices.Contains(l.packages, listed) })
}

// ban is something that packages must not import or use themselves.
type ban struct {
	// who are folders: they and everything below; "=" in front: only they; "!" in front: not they and nothing below.
	// "folder.type" stands for the functions of a package that have the type as receiver or parameter.
	who []string
	// what are import paths ("/..." at the end: and everything below), "package.Name" of what is used, or goroutine.
	what []string
	why  string
}

var bans = []ban{
	{[]string{"hub", "shared", "proto"}, []string{module + "/spoke/..."}, "hub and spoke share only proto/ and shared/"},
	{[]string{"spoke", "shared", "proto"}, []string{module + "/hub/..."}, "hub and spoke share only proto/ and shared/"},
	{[]string{"hub", "spoke", "shared", "proto"}, []string{"testing", "testing/..."},
		"production code carries no test framework"},
	{
		[]string{"hub", "spoke", "shared", "proto", "e2e", "deploy", "!spoke/internal/decrypt", "!e2e/sopstest"},
		[]string{"github.com/getsops/sops/v3/..."}, "spoke/internal/decrypt is the only importer of sops, and e2e/sopstest " +
			"encrypts for tests; the hub cannot read a workload secret",
	},
	{[]string{"hub/internal/dispatch"}, []string{module + "/hub/internal/render/...", "signing.Signer",
		"signing.NewSigner", "signing.LoadOrCreate"}, "dispatch carries opaque bytes: it neither renders nor signs"},
	{
		renderers,
		slices.Concat(clocks, []string{"net", "net/http", "os/exec", "os.Getenv", "os.LookupEnv", "os.Environ"}),
		"rendering is hermetic: no network, no clock, no environment, no processes",
	},
	{append([]string{"!hub/internal/render/tree"}, renderers...), []string{"os"},
		"renderers read files through render/tree only, which records what was read"},
	{
		[]string{"spoke/internal/trust", "hub/internal/status", "hub/internal/rollout", "hub/internal/release",
			"hub/internal/plan/graph", "hub/internal/image", "shared/health", "shared/manifest", "shared/bundle",
			"shared/sealed", "shared/substitution", "shared/expression", "spoke/internal/agent.model",
			"spoke/internal/agent.node", "spoke/internal/release.Situation", "spoke/internal/release.Journal"},
		slices.Concat(clocks, []string{"net", "net/http", "os", "os/exec", "math/rand", "math/rand/v2", "crypto/rand",
			"goroutine"}),
		"these decide purely: no I/O, no clock, no chance, no goroutines. Pass in what they need",
	},
}

// renderers are render and what is below it, without what runs and remembers renders.
var renderers = []string{"hub/internal/render", "!hub/internal/render/worker", "!hub/internal/render/cache"}

// clocks read the clock or wait for it.
var clocks = []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick",
	"time.NewTimer", "time.NewTicker"}

// linkBan is modules or packages that a binary must not link, through whatever imports.
type linkBan struct {
	commands []string
	what     []string
	why      string
}

var linkBans = []linkBan{
	{[]string{"hub/cmd/nave-hub", "hub/cmd/nave"}, []string{"github.com/getsops/sops", "filippo.io/age"},
		"the hub links no SOPS code: it cannot read a workload secret"},
	{[]string{"hub/cmd/nave-hub", "spoke/cmd/nave-spoke"}, []string{"k8s.io/client-go/kubernetes/typed"},
		"typed clients are heavy, and nothing needs them"},
	{[]string{"spoke/cmd/nave-spoke"}, []string{"k8s.io/client-go/kubernetes"},
		"the types of all APIs are heavy: the hub has them because Helm's library does"},
	{[]string{"spoke/cmd/nave-spoke"}, []string{"github.com/go-git", "sigs.k8s.io/kustomize", "helm.sh/helm"},
		"the spoke fetches and renders nothing"},
	{[]string{"spoke/cmd/nave-spoke"}, []string{"k8s.io/api/core"},
		"the types of all APIs are heavy, and register themselves at start"},
}

// namesKinds are the packages that may name kinds: they say which fetcher a kind has.
var namesKinds = []string{"hub/internal/source/worker"}

// wordsOfKinds are, by package, the names of kinds that it has as words of messages.
var wordsOfKinds = map[string][]string{"hub/internal/plan": {"Fleet"}}

// vagueNames say nothing of what a package is for.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "base"}

// goldens are the lists of the modules that the binaries link.
var goldens = []struct {
	file     string
	commands []string
}{
	{"hub/deps.txt", []string{"hub/cmd/nave-hub", "hub/cmd/nave"}},
	{"spoke/deps.txt", []string{"spoke/cmd/nave-spoke"}},
}
