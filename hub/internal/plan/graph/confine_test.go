package graph

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// ks returns a Kustomization as YAML: its namespace/name, its source as [namespace/]name, its path, further fields of
// its spec, and annotations.
func ks(name, source, path string, more ...string) string {
	namespace, name, _ := strings.Cut(name, "/")
	if ns, s, ok := strings.Cut(source, "/"); ok {
		source = s + ", namespace: " + ns
	}
	more = append(more, "", "")
	return fmt.Sprintf("---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n"+
		"metadata: {name: %s, namespace: %s, annotations: {%s}}\n"+
		"spec: {interval: 1h, prune: true, path: %s, sourceRef: {kind: GitRepository, name: %s}, "+
		"%s}\n", name, namespace, more[1], path, source, more[0])
}

// repo returns a GitRepository as YAML: its namespace/name and the repository.
func repo(name, repository string) string {
	namespace, name, _ := strings.Cut(name, "/")
	return fmt.Sprintf("---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: %s, "+
		"namespace: %s}\n"+
		"spec: {interval: 1h, url: \"https://git.example.com/%s\"}\n", name, namespace, repository)
}

// object returns an object for the cluster as YAML.
func object(kind, name string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: %s\nmetadata: {name: %s}\n", kind, name)
}

// files are the committed files: "repository:path" → YAML. "hub" has the hub's sources, "fleet" the root of a Fleet.
type files map[string]string

// The account of the tenant, and the annotations that let a Kustomization use all namespaces and accounts.
const (
	asTeam   = "serviceAccountName: team"
	anywhere = "fleet.nave.io/allow-namespaces: '*', fleet.nave.io/allow-service-accounts: '*'"
)

// shop is a cluster on which the operators' tree, repository fleet, gives a tenant, repository shop, the namespace shop
// and its account team.
var shop = files{
	"hub":   repo("flux-system/fleet", "fleet"),
	"fleet": ks("flux-system/root", "fleet", "root"),
	"fleet:root": ks("flux-system/infra", "fleet", "infra") + repo("shop/shop", "shop") +
		ks("shop/team", "shop", "app", asTeam),
	"fleet:infra": object("ConfigMap", "infra"),
	"shop:app":    object("ConfigMap", "app"),
	"shop:deep":   object("ClusterRole", "deep"),
	"shop:infra":  object("ConfigMap", "of-the-tenant"),
	"shop:mine":   object("ConfigMap", "mine"),
}

// tenancy is one walk over shop with some files changed for good, and the expected results:
//
//	NAMESPACE/NAME as ACCOUNT from REPOSITORY:PATH   an Application; the account of the spoke is "-"
//	no NAMESPACE/NAME                                no Application
//	NAMESPACE/NAME: TEXT                             a part of the message of the Kustomization's condition
type tenancy struct {
	change files
	want   []string
}

// one returns a table row of one walk after a commit of one file.
func one(file, text string, want ...string) []tenancy { return []tenancy{{files{file: text}, want}} }

const (
	infraStays = "flux-system/infra as - from fleet:infra"
	teamStays  = "shop/team as team from shop:app"
	byTeam     = `what Kustomization shop/team renders runs with its service account "team" in namespace "shop"`
)

// TestTenancy checks with which account, and from which source, the commits of operators and tenants run.
func TestTenancy(t *testing.T) {
	root := func(more ...string) string { return ks("flux-system/root", "fleet", "root", more...) }
	team := func(more ...string) string {
		return ks("flux-system/infra", "fleet", "infra") + repo("shop/shop", "shop") + ks("shop/team", "shop", "app", more...)
	}
	same := func(more ...string) string { // the tenant shares the operators' namespace
		return ks("flux-system/infra", "fleet", "infra") + repo("flux-system/shop", "shop") +
			ks("flux-system/team", "shop", "app", asTeam)
	}()
	for name, walks := range map[string][]tenancy{
		"operator/as_committed":    {{nil, []string{"flux-system/root as - from fleet:root", infraStays, teamStays}}},
		"operator/another_account": one("fleet:root", team("serviceAccountName: other"), "shop/team as other from shop:app"),
		"operator/across_namespaces": one(
			"fleet:root",
			ks(
				"shop/team", "flux-system/fleet", "infra",
				asTeam+", dependsOn: [{name: root, namespace: flux-system}]",
			), "shop/team as team from fleet:infra",
		),
		"operator/own_source_in_the_tree": one(
			"fleet:root", ks("flux-system/infra", "fleet", "infra")+repo("flux-system/fleet", "shop"),
			"flux-system/root as - from fleet:root", "flux-system/infra as - from shop:infra",
		),
		"operator/source_of_the_tenant": one(
			"fleet:root",
			ks("shop/platform", "theirs", "deep")+repo("shop/shop", "shop")+
				ks("shop/team", "shop", "sources", asTeam), "no shop/platform",
			"shop/platform: no GitRepository shop/theirs",
		),

		"tenant/no_account":  one("shop:app", ks("shop/deep", "shop", "deep"), "shop/deep as team from shop:deep"),
		"tenant/its_account": one("shop:app", ks("shop/deep", "shop", "deep", asTeam), "shop/deep as team from shop:deep"),
		"tenant/another_account": one(
			"shop:app", ks("shop/deep", "shop", "deep", "serviceAccountName: admin"), "no shop/deep",
			`shop/team: Kustomization shop/deep is refused: spec.serviceAccountName "admin" is not allowed: `+byTeam,
		),
		"tenant/another_namespace": one(
			"shop:app", ks("flux-system/deep", "fleet", "deep"), "no flux-system/deep",
			`shop/team: Kustomization flux-system/deep is refused: its namespace "flux-system" is not allowed: `+
				byTeam,
		),
		"tenant/no_namespace": one(
			"shop:app", strings.Replace(ks("shop/deep", "shop", "deep"), "namespace: shop, ", "", 1), "no /deep",
			`shop/team: Kustomization deep is refused: metadata.namespace is missing; `+byTeam+`: set it to "shop"`,
		),
		"tenant/source_elsewhere": one(
			"shop:app", ks("shop/deep", "flux-system/fleet", "infra"), "no shop/deep",
			`shop/team: spec.sourceRef.namespace "flux-system"`,
		),
		"tenant/target_elsewhere": one(
			"shop:app", ks("shop/deep", "shop", "deep", "targetNamespace: kube-system"), "no shop/deep",
			`shop/team: spec.targetNamespace "kube-system"`,
		),
		"tenant/dependency_elsewhere": one(
			"shop:app", ks("shop/deep", "shop", "deep", "dependsOn: [{name: infra, namespace: flux-system}]"),
			"no shop/deep", `shop/team: spec.dependsOn[0].namespace "flux-system"`,
		),
		"tenant/health_elsewhere": one(
			"shop:app",
			ks(
				"shop/deep", "shop", "deep",
				"healthChecks: [{apiVersion: v1, kind: Secret, name: x, namespace: kube-system}]",
			), "no shop/deep", `shop/team: spec.healthChecks[0].namespace "kube-system"`,
		),
		"tenant/allows_itself": one(
			"shop:app", ks("shop/deep", "shop", "deep", asTeam, anywhere), "no shop/deep",
			`shop/team: annotation fleet.nave.io/allow-namespaces "*"`,
			`shop/team: annotation fleet.nave.io/allow-service-accounts "*"`,
		),
		"tenant/the_rest_goes_on": one(
			"shop:app",
			ks("flux-system/deep", "shop", "deep")+ks("shop/mine", "shop", "mine")+object("ConfigMap", "app"),
			teamStays, "shop/mine as team from shop:mine",
		),
		"tenant/two_below": {
			{
				files{
					"shop:app": ks("shop/a", "shop", "a"), "shop:a": ks("shop/b", "shop", "b"),
					"shop:b": ks("shop/deep", "shop", "deep"),
				},
				[]string{"shop/deep as team from shop:deep"},
			},
		},
		"tenant/its_sources": one(
			"shop:app", repo("shop/more", "shop")+ks("shop/mine", "more", "mine"),
			"shop/mine as team from shop:mine",
		),

		"itself/without_account": one("shop:app", ks("shop/team", "shop", "deep", ""), "shop/team as team from shop:deep"),
		"itself/another_account": one(
			"shop:app", ks("shop/team", "shop", "app", "serviceAccountName: admin")+object("ConfigMap", "x"),
			teamStays,
			`shop/team: its own object in Git: Kustomization shop/team is refused: spec.serviceAccountName "admin"`,
		),
		"itself/allowed": one(
			"shop:app", ks("shop/team", "shop", "app", asTeam, anywhere), teamStays,
			"shop/team: its own object in Git",
		),
		"itself/what_is_below": {
			{
				files{
					"shop:app":  ks("shop/team", "shop", "next"),
					"shop:next": ks("shop/team", "shop", "next") + ks("shop/deep", "shop", "deep"),
				},
				[]string{"shop/team as team from shop:next", "shop/deep as team from shop:deep"},
			},
		},
		"itself/its_owner_is_broken": {
			{
				files{
					"shop:app":  ks("shop/team", "shop", "next"),
					"shop:next": ks("shop/team", "shop", "next") + ks("shop/deep", "shop", "deep"),
				},
				nil,
			},
			{
				files{"fleet:root": "broken"},
				[]string{"shop/team as team from shop:next", "shop/deep as team from shop:deep"},
			},
		},
		"itself/given_by_two": {
			{
				files{
					"fleet:root": ks("flux-system/a", "fleet", "a") + ks("flux-system/b", "fleet", "b") +
						repo("shop/shop", "shop"), "fleet:a": ks("shop/team", "shop", "app", asTeam),
					"fleet:b": ks("shop/team", "shop", "app", asTeam), "shop:app": ks("shop/team", "shop", "mine"),
				},
				[]string{
					"shop/team as team from shop:mine", "flux-system/b: comes from Kustomization flux-system/a",
				},
			},
		},
		"itself/a_platform_Kustomization": one(
			"fleet:root",
			ks("flux-system/root", "fleet", "root", "timeout: 1m")+ks("flux-system/infra", "fleet", "infra"),
			infraStays,
		),

		"shadow/source_elsewhere": one(
			"shop:app", repo("flux-system/fleet", "shop"), infraStays,
			`shop/team: GitRepository flux-system/fleet is refused: its namespace "flux-system"`,
		),
		"shadow/source_beside": {
			{
				files{
					"fleet:root": same,
					"shop:app":   repo("flux-system/fleet", "shop") + ks("flux-system/mine", "fleet", "mine"),
				},
				[]string{infraStays, "flux-system/mine as team from shop:mine"},
			},
		},
		"shadow/source_of_its_own_root": {
			{
				files{
					"hub":        shop["hub"] + repo("shop/shop", "shop"),
					"fleet:root": ks("shop/team", "shop", "app", asTeam), "shop:app": repo("shop/shop", "other"),
					"other:app": object("ConfigMap", "other"),
				},
				[]string{teamStays},
			},
		},
		"shadow/source_that_is_not_there": {
			{
				files{
					"fleet:root": same + ks("flux-system/later", "later", "deep"),
					"shop:app":   repo("flux-system/later", "shop"),
				},
				[]string{
					"no flux-system/later",
					`flux-system/later: GitRepository flux-system/later comes from Kustomization flux-system/team, whose objects run with service account "team"`,
				},
			},
		},
		"shadow/source_for_the_account": {
			{
				files{
					"fleet:root": same + ks("flux-system/later", "later", "deep", asTeam),
					"shop:app":   repo("flux-system/later", "shop"),
				},
				[]string{"flux-system/later as team from shop:deep"},
			},
		},
		"shadow/comes_and_goes": {
			{files{"fleet:root": same}, []string{infraStays}},
			{files{"shop:app": repo("flux-system/fleet", "shop")}, []string{infraStays}},
			{files{"shop:app": object("ConfigMap", "app")}, []string{infraStays}},
		},
		"shadow/name": {
			{
				files{"fleet:root": same, "shop:app": ks("flux-system/infra", "shop", "infra")},
				[]string{
					infraStays,
					"flux-system/team: Kustomization flux-system/infra on east comes from Kustomization flux-system/root on east " +
						"already",
				},
			},
		},
		"shadow/name_taken_first": {
			{
				files{
					"fleet:root": strings.Replace(same, "infra", "other", 1),
					"shop:app":   ks("flux-system/infra", "shop", "infra"),
				},
				[]string{"flux-system/infra as team from shop:infra"},
			},
			{
				files{"fleet:root": same},
				[]string{infraStays, "flux-system/team: comes from Kustomization flux-system/root on east already"},
			},
		},
		"shadow/name_that_left": {
			{files{"fleet:root": same}, []string{infraStays}},
			{
				files{
					"fleet:root": strings.Replace(same, "name: infra", "name: other", 1),
					"shop:app":   ks("flux-system/infra", "shop", "infra"),
				},
				[]string{"flux-system/infra as team from shop:infra"},
			},
		},
		"shadow/payload": {
			{
				files{
					"fleet:root": same, "shop:app": ks("flux-system/a", "shop", "infra"),
					"shop:infra": object("ConfigMap", "infra"),
				},
				[]string{
					infraStays, "no flux-system/a",
					"flux-system/a: ConfigMap infra comes from Kustomization flux-system/infra already",
				},
			},
		},
		"shadow/payload_taken_first": {
			{
				files{"shop:app": object("ConfigMap", "infra"), "fleet:infra": object("ConfigMap", "other")},
				[]string{infraStays, teamStays},
			},
			{
				files{"fleet:infra": object("ConfigMap", "infra")},
				[]string{
					infraStays, "shop/team: ConfigMap infra comes from Kustomization flux-system/infra already",
				},
			},
		},

		"allowed/namespace": {
			{
				files{
					"fleet:root": team(asTeam, "fleet.nave.io/allow-namespaces: 'blue, green'"),
					"shop:app":   ks("green/mine", "shop/shop", "mine") + ks("red/mine", "shop/shop", "mine"),
				},
				[]string{"green/mine as team from shop:mine", "no red/mine", `shop/team: its namespace "red"`},
			},
		},
		"allowed/not_back": {
			{
				files{
					"fleet:root": team(asTeam, "fleet.nave.io/allow-namespaces: green"),
					"shop:app":   ks("green/mine", "shop/shop", "mine"), "shop:mine": ks("shop/deep", "shop", "deep"),
				},
				[]string{
					"no shop/deep",
					`green/mine: Kustomization shop/deep is refused: its namespace "shop" is not allowed: what Kustomization green/mine renders`,
				},
			},
		},
		"allowed/account": {
			{
				files{
					"fleet:root": team(asTeam, "fleet.nave.io/allow-service-accounts: admin"),
					"shop:app":   ks("shop/mine", "shop", "mine", "serviceAccountName: admin"),
					"shop:mine":  ks("shop/deep", "shop", "deep"),
				},
				[]string{"shop/mine as admin from shop:mine", "shop/deep as admin from shop:deep"},
			},
		},
		"allowed/narrower_below": {
			{
				files{
					"fleet:root": team(asTeam, "fleet.nave.io/allow-service-accounts: admin"),
					"shop:app":   ks("shop/mine", "shop", "mine", "serviceAccountName: admin"),
					"shop:mine":  ks("shop/deep", "shop", "deep", asTeam),
				},
				[]string{"no shop/deep", `shop/mine: spec.serviceAccountName "team" is not allowed`},
			},
		},
		"allowed/everything": {
			{
				files{
					"fleet":    root("serviceAccountName: platform", anywhere),
					"shop:app": ks("flux-system/deep", "shop", "deep"),
				},
				[]string{
					"flux-system/root as platform from fleet:root",
					"flux-system/infra as platform from fleet:infra", teamStays, "no flux-system/deep",
				},
			},
		},
		"allowed/nothing": {
			{
				files{"fleet": root("serviceAccountName: platform")},
				[]string{
					"flux-system/infra as platform from fleet:infra", "no shop/team",
					`flux-system/root: its namespace "shop" is not allowed`,
				},
			},
		},
		"allowed/root_over_shadow": {
			{
				files{
					"fleet": root("serviceAccountName: platform", anywhere), "fleet:root": same,
					"shop:app": repo("flux-system/fleet", "shop") + ks("flux-system/infra", "shop", "infra"),
				},
				[]string{"flux-system/infra as platform from fleet:infra", "flux-system/team as team from shop:app"},
			},
		},
		"allowed/withdrawn": {
			{
				files{
					"fleet:root": team(asTeam, "fleet.nave.io/allow-namespaces: green"),
					"shop:app":   ks("green/mine", "shop/shop", "mine"),
					"shop:mine":  repo("green/own", "shop") + ks("green/deep", "own", "deep"),
				},
				[]string{"green/deep as team from shop:deep"},
			},
			{
				files{"fleet:root": team(asTeam)},
				[]string{
					"green/mine kept", "green/deep kept", `shop/team: its namespace "green" is not allowed`,
					"green/deep: its service account or allowed namespaces have changed",
				},
			},
		},

		"later/account": {
			{
				files{"fleet:root": team(""), "shop:app": ks("shop/deep", "shop", "deep")},
				[]string{"shop/deep as - from shop:deep"},
			},
			{
				files{"fleet:root": team(asTeam)},
				[]string{"shop/team as team from shop:app", "shop/deep as team from shop:deep"},
			},
		},
		"later/account_while_it_is_broken": {
			{
				files{
					"fleet:root": team(""),
					"shop:app": ks("shop/deep", "shop", "deep") + ks("flux-system/out", "shop/shop", "out") +
						repo("flux-system/fleet", "shop"), "shop:out": ks("flux-system/further", "shop/shop", "mine"),
				},
				[]string{"shop/deep as - from shop:deep", "flux-system/further as - from shop:mine"},
			},
			{
				files{"fleet:root": team(asTeam), "shop:app": "broken"},
				[]string{
					"shop/deep as team from shop:deep", "flux-system/out kept", "flux-system/further kept",
					"flux-system/further: and Kustomization flux-system/out has not given it since", infraStays,
				},
			},
			{
				files{"shop:app": ks("shop/deep", "shop", "deep")},
				[]string{"shop/deep as team from shop:deep", "no flux-system/out", "no flux-system/further"},
			},
		},
		"later/account_of_what_breaks_the_rule": {
			{
				files{
					"fleet:root": team(""),
					"shop:app":   ks("flux-system/out", "shop/shop", "out") + repo("flux-system/fleet", "shop"),
					"shop:out":   ks("flux-system/further", "shop/shop", "deep"),
				},
				[]string{"flux-system/further as - from shop:deep", "flux-system/infra as - from shop:infra"},
			},
			{
				files{"fleet:root": team(asTeam)},
				[]string{
					"flux-system/out kept", "flux-system/further kept",
					`shop/team: Kustomization flux-system/out is refused`, infraStays,
				},
			},
		},
		"later/another_account": {
			{files{"shop:app": ks("shop/deep", "shop", "deep")}, []string{"shop/deep as team from shop:deep"}},
			{
				files{"fleet:root": team("serviceAccountName: other"), "shop:app": "broken"},
				[]string{"shop/deep as other from shop:deep"},
			},
		},
		"later/what_was_left": {
			{
				files{
					"fleet:root": strings.ReplaceAll(team(asTeam), "prune: true", "prune: false"),
					"shop:app":   ks("shop/deep", "shop", "deep"),
				},
				[]string{"shop/deep as team from shop:deep"},
			},
			{files{"shop:app": object("ConfigMap", "app")}, []string{"shop/deep as team from shop:deep"}},
		},
	} {
		t.Run(name, func(t *testing.T) { playTenancy(t, walks) })
	}
}

// playTenancy plays walks. It repeats each walk, which must have the same results.
func playTenancy(t *testing.T, walks []tenancy) {
	t.Helper()
	tree, contents := maps.Clone(shop), map[manifest.Digest][]manifest.ID{}
	var g *Graph
	for i, walk := range walks {
		maps.Copy(tree, walk.change)
		for range 2 {
			g = walked(t, tree.input(t, g, contents))
			lines := tenancyLines(g)
			for _, want := range walk.want {
				if problem := missing(g, lines, want); problem != "" {
					t.Errorf("walk %d: %s; there is\n%s", i+1, problem, strings.Join(lines, "\n"))
				}
			}
		}
	}
}

// missing returns a message if the graph does not have the expected result; "" if it has.
func missing(g *Graph, lines []string, want string) string {
	if name, text, told := strings.Cut(want, ": "); told {
		key := keyOf("Kustomization", "")
		key.Cluster = "east"
		key.Namespace, key.Name, _ = strings.Cut(name, "/")
		if message := g.Findings[key].Message; !strings.Contains(message, text) {
			return fmt.Sprintf("%s is told %q, want %q", name, message, text)
		}
		return ""
	}
	if name, none := strings.CutPrefix(want, "no "); none {
		if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+" ") }) {
			return "there is an Application of " + name
		}
		return ""
	}
	if !slices.Contains(lines, want) {
		return fmt.Sprintf("want %q", want)
	}
	return ""
}

func tenancyLines(g *Graph) (lines []string) {
	for _, app := range g.Applications {
		name := app.Key.Namespace + "/" + app.Key.Name
		if app.Rendered == nil {
			lines = append(lines, name+" kept")
			continue
		}
		lines = append(lines, fmt.Sprintf("%s as %s from %s", name, cmp.Or(app.ServiceAccount, "-"), app.Revision))
	}
	return lines
}

// input returns the Input of a walk over the files, after a last walk.
func (f files) input(t *testing.T, last *Graph, contents map[manifest.Digest][]manifest.ID) Input {
	t.Helper()
	in := toy{}.input(last, contents)
	fleet := api.Key{Kind: api.FleetKind, Name: "f"}
	root := f.children(t, "fleet").Children[0]
	root.Key.Cluster = "east"
	in.Roots = []Root{{Key: root.Key, Owner: &fleet, Object: root.Object}}
	hub := f.children(t, "hub").Children
	in.HubSource = func(key api.Key) *api.Object {
		for _, c := range hub {
			if c.Key == key {
				return c.Object
			}
		}
		return nil
	}
	in.Render = func(works []Work) (results []Result) {
		for _, work := range works {
			results = append(results, f.render(t, work))
		}
		return results
	}
	return in
}

// render returns the objects of a path of a repository.
func (f files) render(t *testing.T, work Work) Result {
	t.Helper()
	for name := range f {
		repository, path, _ := strings.Cut(name, ":")
		g := api.StoredObject(keyOf("GitRepository", ""),
			fmt.Appendf(nil, `{"spec":{"url":"https://git.example.com/%s"}}`, repository))
		source, err := g.Source()
		if err != nil {
			t.Fatal(err)
		}
		if work.SourceKey != source.FetchKey(false) || path != pathOf(work) {
			continue
		}
		if f[name] == "broken" {
			break
		}
		return Result{Revision: name, Rendered: f.children(t, name)}
	}
	return Result{Reason: condition.BuildFailed, Err: errors.New("broken")}
}

// children parses a file.
func (f files) children(t *testing.T, name string) *Rendered {
	t.Helper()
	objects, err := manifest.Parse([]byte(f[name]))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	r := &Rendered{}
	for _, o := range objects {
		if !api.Known(o) {
			r.Payload = append(r.Payload, bundle.ObjectReference{ObjectIdentity: bundle.ObjectIdentity{Kind: o.GetKind(),
				Name: o.GetName()}})
			continue
		}
		child := Child{Key: api.KeyOf(o)}
		admitted, err := api.Admit(o, api.ClusterGraph)
		if child.Err = err; err == nil {
			child.Object = admitted
		}
		r.Children = append(r.Children, child)
	}
	return r
}

// guarded is the toy with service accounts. The toy's bytes decide which Kustomizations have one; some are refused.
type guarded struct{ toy }

func (w guarded) input(last *Graph, contents map[manifest.Digest][]manifest.ID) Input {
	in := w.toy.input(last, contents)
	in.Render = func(works []Work) []Result {
		results := w.toy.render(works)
		for i, r := range results {
			if r.Rendered == nil {
				continue
			}
			for j, c := range r.Rendered.Children {
				if n := w.at(60 + len(c.Key.Name) + 3*i + 7*j + int(c.Key.Name[1])); c.Object != nil &&
					c.Key.Kind == "Kustomization" && n%3 == 0 {
					text := strings.Replace(string(c.Object.JSON), `"prune"`, fmt.Sprintf(`"serviceAccountName":"a%d","prune"`, n%2),
						1)
					r.Rendered.Children[j].Object = api.StoredObject(c.Key, []byte(text))
				}
			}
		}
		return results
	}
	return in
}

// FuzzConfinedWalk checks that walks with tenants settle, and that no object below a service account is without one,
// for any renders.
func FuzzConfinedWalk(f *testing.F) {
	for seed := range int64(300) {
		data := make([]byte, 97)
		rand.New(rand.NewSource(seed)).Read(data)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		contents := map[manifest.Digest][]manifest.ID{}
		var g *Graph
		turned := slices.Concat(data[min(1, len(data)):], data[:min(1, len(data))])
		for _, w := range []guarded{{toy{bytes: data}}, {toy{bytes: turned}}, {toy{turned, true}}, {toy{data, true}}} {
			before := map[string]string{}
			for walks := 0; ; walks++ {
				in := w.input(g, contents)
				g = walked(t, in)
				check(t, g, contents)
				confined(t, g)
				now := outline(g, in)
				if maps.Equal(before, now) {
					break
				}
				if before = now; walks == 10 {
					t.Fatalf("it does not settle: %v", now)
				}
			}
		}
	})
}

// confined checks that objects below a service account have its limits.
func confined(t *testing.T, g *Graph) {
	t.Helper()
	for key, n := range g.Nodes {
		owner, here := g.Nodes[*n.Owner]
		barred := !g.Findings[key].Ready && n.Confined != nil && n.Confined.By == key // it is not rendered
		if !here || n.Orphaned || barred {
			continue
		}
		r, err := owner.Object.Renderable()
		if err != nil {
			t.Fatal(err)
		}
		if inside := owner.Confined.Inside(owner.Key, r); !inside.Covers(n.Confined) {
			t.Errorf("%s is confined by %+v, what %s gives by %+v", key, n.Confined, owner.Key, inside)
		}
	}
	for _, app := range g.Applications {
		n := g.Nodes[app.Key]
		if app.Rendered != nil && n.Confined != nil && app.ServiceAccount == "" {
			t.Errorf("%s runs with the rights of the spoke", app.Key)
		}
	}
}

// TestNoCrossNamespaceRefs refuses sources of another namespace to operators and tenants.
func TestNoCrossNamespaceRefs(t *testing.T) {
	tree := maps.Clone(shop)
	tree["fleet:root"] += ks("shop/across", "flux-system/fleet", "mine")
	in := tree.input(t, nil, map[manifest.Digest][]manifest.ID{})
	in.NoCrossNamespaceRefs = true
	g := walked(t, in)
	lines := tenancyLines(g)
	for _, want := range []string{infraStays, teamStays, "no shop/across",
		"shop/across: no access to GitRepository flux-system/fleet from namespace shop"} {
		if problem := missing(g, lines, want); problem != "" {
			t.Errorf("%s; there is\n%s", problem, strings.Join(lines, "\n"))
		}
	}
}
