package arch

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

var update = flag.Bool("update", false, "write hub/deps.txt and spoke/deps.txt anew")

// below reports whether a path is a folder or inside of it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// matches reports whether an import path is what a ban names.
func matches(name, what string) bool {
	folder, all := strings.CutSuffix(what, "/...")
	return name == what || all && below(name, folder)
}

// layering returns what is wrong with the levels of packages.
func layering(packages []pkg) []string {
	var wrong []string
	for _, p := range packages {
		from := place(p.path)
		if from < 0 {
			wrong = append(wrong, fmt.Sprintf("%s is in no layer: list it in layers (e2e/arch/layers_test.go) "+
				"and say in ARCHITECTURE.md what it is for", p.path))
			continue
		}
		for _, imported := range p.imports {
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if to := place(target); to >= from {
				wrong = append(wrong, fmt.Sprintf("%s (%s) imports %s (%s): imports go to a lower level only. Move what both "+
					"need below both, or pass it in from above",
					p.path, layers[from].name, target, layers[to].name))
			}
		}
	}
	return wrong
}

// banned returns what packages import or use that they must not.
func banned(packages []pkg) []string {
	var wrong []string
	for _, p := range packages {
		for _, b := range bans {
			for _, what := range b.what {
				if b.isOn(p.path) && p.has(what) {
					wrong = append(wrong, fmt.Sprintf("%s uses %s: %s", p.path, what, b.why))
				}
				for name, uses := range p.usesOf {
					if slices.Contains(b.who, p.path+"."+name) && usesAny(uses, what) {
						wrong = append(wrong, fmt.Sprintf("%s: a function of the type %s uses %s: %s", p.path, name, what, b.why))
					}
				}
			}
		}
	}
	return wrong
}

// isOn reports whether a ban is on a package.
func (b ban) isOn(path string) bool {
	return slices.ContainsFunc(b.who, func(who string) bool { return "="+path == who || below(path, who) }) &&
		!slices.ContainsFunc(b.who, func(who string) bool { return who[0] == '!' && below(path, who[1:]) })
}

// has reports whether a package imports or uses what a ban names.
func (p pkg) has(what string) bool {
	return slices.ContainsFunc(p.imports, func(name string) bool { return matches(name, what) }) ||
		slices.Contains(p.uses, what)
}

// usesAny reports whether uses have what a ban names: the name itself, or any name of the package.
func usesAny(uses []string, what string) bool {
	return slices.ContainsFunc(uses, func(use string) bool {
		return use == what || strings.HasPrefix(use, path.Base(strings.TrimSuffix(what, "/v2"))+".")
	})
}

// unnamed returns packages that do not say what they are for.
func unnamed(packages []pkg) []string {
	var wrong []string
	for _, p := range packages {
		if !p.doc {
			wrong = append(wrong, p.path+" has no package comment: say in doc.go what it is for")
		}
		if slices.Contains(vagueNames, path.Base(p.path)) {
			wrong = append(wrong, p.path+": its name says nothing; name it after what it holds")
		}
	}
	return wrong
}

// spelled lists the words of shared/condition that hub and spoke spell themselves.
func spelled(packages []pkg) (wrong []string) {
	var vocabulary []string
	for _, p := range packages {
		if p.path == "shared/condition" {
			vocabulary = p.words
		}
	}
	for _, p := range packages {
		if !below(p.path, "hub") && !below(p.path, "spoke") {
			continue
		}
		for _, w := range p.words {
			if slices.Contains(vocabulary, w) {
				wrong = append(wrong, fmt.Sprintf("%s spells %q: use the constant of shared/condition", p.path, w))
			}
		}
	}
	return wrong
}

// kinds returns the packages of the hub that decide by the name, a part of it or the group of a kind, that spell the
// name of a kind, or that are inside and name a kind at all.
func kinds(packages []pkg) []string {
	names, decisive := namesOfKinds()
	var wrong []string
	for _, p := range packages {
		if !below(p.path, "hub") || below(p.path, "hub/api") || slices.Contains(namesKinds, p.path) {
			continue
		}
		for _, name := range slices.Concat(names, decisive) {
			inside := below(p.path, "hub/internal") && slices.Contains(names, name)
			if slices.Contains(p.compared, name) || inside && slices.Contains(p.uses, name) || p.spells(name, names) {
				wrong = append(wrong, fmt.Sprintf("%s asks for %s: what is special of a kind is said in its file of hub/api; ask "+
					"the object for its role or its view", p.path, name))
			}
		}
		for _, part := range p.parts {
			if isPartOf(part, names) {
				wrong = append(wrong, fmt.Sprintf("%s asks for kinds with %s in their names: ask the object for its role or its "+
					"view", p.path, part))
			}
		}
	}
	return wrong
}

// spells reports whether a package has a name, one of these, as a literal, and not only as a word of messages.
func (p pkg) spells(name string, names []string) bool {
	return slices.Contains(names, name) && slices.Contains(p.words, name) &&
		!slices.Contains(wordsOfKinds[p.path], name)
}

// isPartOf reports whether a text is a word, or some words, of the name of a kind.
func isPartOf(part string, names []string) bool {
	return len(part) > 2 && 'A' <= part[0] && part[0] <= 'Z' &&
		slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, part) })
}

// namesOfKinds returns the names that no package inside of the hub may use, and those that no package may decide by.
func namesOfKinds() (used, decisive []string) {
	for _, k := range api.Kinds() {
		constant := "api." + k.Name + "Kind"
		if k.Group == "" { // the hub names Secrets; as "Secret" it also reads the payload of clusters
			decisive = append(decisive, constant)
			continue
		}
		used = append(used, k.Name, constant, "v1."+k.Name+"Kind")
		decisive = append(decisive, k.Group)
	}
	return used, append(decisive, "api.GroupSource", "api.GroupKustomize", "api.GroupFleet")
}

func report(t *testing.T, wrong []string) {
	t.Helper()
	for _, w := range wrong {
		t.Error(w)
	}
}

func tree(t *testing.T) []pkg {
	t.Helper()
	packages, err := readTree(root(t))
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func TestLayers(t *testing.T) { report(t, layering(tree(t))) }

func TestBans(t *testing.T) { report(t, banned(tree(t))) }

func TestPackageComments(t *testing.T) { report(t, unnamed(tree(t))) }

// TestKindNames holds what is said of a kind in hub/api: no other package of the hub asks which kind an object is of.
func TestKindNames(t *testing.T) { report(t, kinds(tree(t))) }

func TestConditionWords(t *testing.T) { report(t, spelled(tree(t))) }

func TestLinkBans(t *testing.T) {
	dir := root(t)
	for _, b := range linkBans {
		for _, command := range b.commands {
			t.Run(command, func(t *testing.T) {
				for _, p := range link(t, dir, []string{command}) {
					for _, what := range b.what {
						if p.ImportPath == what || strings.HasPrefix(p.ImportPath, what+"/") {
							t.Errorf("%s links %s: %s (go mod why -m tells through whom)", command, p.ImportPath, b.why)
						}
					}
				}
			})
		}
	}
}

func TestLinkedModules(t *testing.T) {
	dir := root(t)
	for _, golden := range goldens {
		t.Run(golden.file, func(t *testing.T) {
			got := modules(link(t, dir, golden.commands))
			file := filepath.Join(dir, golden.file)
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v: write it with go test ./e2e/arch -update", err)
			}
			want := strings.Fields(string(content))
			for _, module := range got {
				if !slices.Contains(want, module) {
					t.Errorf("%s is linked now: if it is worth it, go test ./e2e/arch -update and commit %s", module, golden.file)
				}
			}
			for _, module := range want {
				if !slices.Contains(got, module) {
					t.Errorf("%s is not linked any more: go test ./e2e/arch -update and commit %s", module, golden.file)
				}
			}
		})
	}
}

// modules returns the modules of packages, sorted, without our own and the standard library.
func modules(packages []linked) []string {
	var paths []string
	for _, p := range packages {
		if p.Module != nil && !p.Module.Main {
			paths = append(paths, p.Module.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func TestRules(t *testing.T) {
	ours := func(paths ...string) (imports []string) {
		for _, p := range paths {
			imports = append(imports, module+"/"+p)
		}
		return imports
	}
	for name, c := range map[string]struct {
		p     pkg
		rule  func([]pkg) []string
		wrong bool
	}{
		"down": {pkg{path: "hub/internal/plan", imports: ours("hub/internal/store", "shared/bundle")},
			layering, false},
		"to_lower_part": {pkg{path: "hub/internal/plan", imports: ours("hub/internal/plan/graph")},
			layering, false},
		"parent_to_child": {pkg{path: "hub/internal/render", imports: ours("hub/internal/render/kustomize")},
			layering, true},
		"child_to_parent": {pkg{path: "hub/internal/render/kustomize", imports: ours("hub/internal/render")},
			layering, false},
		"new_fetcher": {pkg{path: "hub/internal/source/newcomer", imports: ours("hub/internal/source", "hub/api")},
			layering, false},
		"new_fetcher_to_sibling": {pkg{path: "hub/internal/source/newcomer", imports: ours("hub/internal/source/git")},
			layering, true},
		"worker_to_new_fetcher": {pkg{path: "hub/internal/source/worker", imports: ours("hub/internal/source/newcomer")},
			layering, false},
		"child_to_sibling": {pkg{path: "hub/internal/render/kustomize", imports: ours("hub/internal/render/helm")},
			layering, true},
		"kind_in_switch":     {pkg{path: "hub", compared: []string{"api.KustomizationKind"}}, kinds, true},
		"kind_of_flux":       {pkg{path: "hub", compared: []string{"v1.GitRepositoryKind"}}, kinds, true},
		"kind_in_command":    {pkg{path: "hub/cmd/nave", uses: []string{"api.KustomizationKind"}}, kinds, false},
		"kind_as_word":       {pkg{path: "hub/internal/publish", compared: []string{"HelmRelease"}}, kinds, true},
		"kind_as_literal":    {pkg{path: "hub/internal/publish", words: []string{"Fleet"}}, kinds, true},
		"kind_spelled":       {pkg{path: "hub/cmd/nave", words: []string{"GitRepository"}}, kinds, true},
		"kind_in_message":    {pkg{path: "hub/internal/plan", words: []string{"Fleet"}}, kinds, false},
		"kind_by_prefix":     {pkg{path: "hub/internal/publish", parts: []string{"Helm"}}, kinds, true},
		"kind_by_suffix":     {pkg{path: "hub", parts: []string{"Repository"}}, kinds, true},
		"other_prefix":       {pkg{path: "hub/internal/publish", parts: []string{"Cert", "et", "He"}}, kinds, false},
		"kind_in_its_file":   {pkg{path: "hub/api", compared: []string{"Fleet"}}, kinds, false},
		"kind_of_kubernetes": {pkg{path: "hub/internal/publish", compared: []string{"Secret"}}, kinds, false},
		"kind_of_hub":        {pkg{path: "hub/internal/admin", compared: []string{"api.SecretKind"}}, kinds, true},
		"kind_in_key":        {pkg{path: "hub/internal/admin", uses: []string{"api.SecretKind"}}, kinds, false},
		"group_in_command":   {pkg{path: "hub/cmd/nave", compared: []string{"api.GroupKustomize"}}, kinds, true},
		"group_as_word":      {pkg{path: "hub", compared: []string{"fleet.nave.io"}}, kinds, true},
		"group_in_object":    {pkg{path: "hub/cmd/nave", uses: []string{"api.GroupKustomize"}}, kinds, false},
		"up":                 {pkg{path: "hub/internal/store", imports: ours("hub/internal/plan")}, layering, true},
		"sideways":           {pkg{path: "hub/internal/plan", imports: ours("hub/internal/publish")}, layering, true},
		"sideways_in_shared": {pkg{path: "shared/sealed", imports: ours("shared/manifest")}, layering, true},
		"subfolder_up": {pkg{path: "hub/internal/plan/graph", imports: ours("hub/internal/plan")},
			layering, true},
		"to_composition_root":   {pkg{path: "hub/internal/plan", imports: ours("hub")}, layering, true},
		"package_without_layer": {pkg{path: "hub/internal/newcomer"}, layering, true},
		"folder_without_layer":  {pkg{path: "tools"}, layering, true},
		"hub_to_spoke":          {pkg{path: "hub/internal/admin", imports: ours("spoke/internal/trust")}, banned, true},
		"spoke_to_hub":          {pkg{path: "spoke", imports: ours("hub/api")}, banned, true},
		"sops_outside_decrypt": {pkg{path: "spoke/internal/agent", imports: []string{"github.com/getsops/sops/v3/aes"}},
			banned, true},
		"sops_in_membership": {pkg{path: "spoke/internal/membership", imports: []string{"github.com/getsops/sops/v3"}},
			banned, true},
		"sops_for_tests": {pkg{path: "e2e/sopstest", imports: []string{"github.com/getsops/sops/v3"}}, banned, false},
		"sops_at_root":   {pkg{path: "spoke", imports: []string{"github.com/getsops/sops/v3"}}, banned, true},
		"sops_in_decrypt": {pkg{path: "spoke/internal/decrypt",
			imports: []string{"github.com/getsops/sops/v3/aes"}}, banned, false},
		"key_in_dispatch": {pkg{path: "hub/internal/dispatch", uses: []string{"signing.LoadOrCreate"}},
			banned, true},
		"clock_in_generate":  {pkg{path: "hub/internal/render/generate", uses: []string{"time.Now"}}, banned, true},
		"files_in_renderer":  {pkg{path: "hub/internal/render/generate", imports: []string{"os"}}, banned, true},
		"new_renderer":       {pkg{path: "hub/internal/render/newcomer", uses: []string{"time.Now"}}, banned, true},
		"new_reader":         {pkg{path: "hub/internal/render/newcomer", imports: []string{"os"}}, banned, true},
		"network_in_tree":    {pkg{path: "hub/internal/render/tree", imports: []string{"net/http"}}, banned, true},
		"network_in_render":  {pkg{path: "hub/internal/render", imports: []string{"net/http"}}, banned, true},
		"clock_in_cache":     {pkg{path: "hub/internal/render/cache", uses: []string{"time.Now"}}, banned, false},
		"files_in_worker":    {pkg{path: "hub/internal/render/worker", imports: []string{"os"}}, banned, false},
		"files_in_tree":      {pkg{path: "hub/internal/render/tree", imports: []string{"os"}}, banned, false},
		"clock_in_release":   {pkg{path: "hub/internal/release", uses: []string{"time.Now"}}, banned, true},
		"goroutine_in_graph": {pkg{path: "hub/internal/plan/graph", uses: []string{"goroutine"}}, banned, true},
		"goroutine_in_agent": {pkg{path: "spoke/internal/agent", uses: []string{"goroutine", "os.ReadFile"}}, banned, false},
		"clock_in_step": {pkg{path: "spoke/internal/agent", usesOf: map[string][]string{"model": {"time.Now"}}},
			banned, true},
		"file_in_step": {pkg{path: "spoke/internal/agent", usesOf: map[string][]string{"model": {"os.ReadFile"}}},
			banned, true},
		"file_beside_step": {pkg{path: "spoke/internal/agent", usesOf: map[string][]string{"loader": {"os.ReadFile"}}},
			banned, false},
		"clock_in_render":       {pkg{path: "hub/internal/render/kustomize", uses: []string{"time.Now"}}, banned, true},
		"clock_in_plan":         {pkg{path: "hub/internal/plan", uses: []string{"time.Now"}}, banned, false},
		"testing_in_production": {pkg{path: "shared/bundle", imports: []string{"testing"}}, banned, true},
		"testing_in_e2e":        {pkg{path: "e2e/harness", imports: []string{"testing"}}, banned, false},
		"no_comment":            {pkg{path: "hub/api"}, unnamed, true},
		"comment":               {pkg{path: "hub/api", doc: true}, unnamed, false},
		"condition_word":        {pkg{path: "hub/internal/plan", words: []string{"Ready"}}, spelled, true},
		"other_word":            {pkg{path: "hub/internal/plan", words: []string{"ready"}}, spelled, false},
		"vague_name":            {pkg{path: "shared/util", doc: true}, unnamed, true},
	} {
		vocabulary := pkg{path: "shared/condition", doc: true, words: []string{"Ready"}}
		if wrong := c.rule([]pkg{vocabulary, c.p}); len(wrong) > 0 != c.wrong {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}

// TestOperands checks each form in which code decides by a name.
func TestOperands(t *testing.T) {
	for name, code := range map[string]string{
		"equal":       `kind == api.FleetKind`,
		"unequal":     `api.FleetKind != kind`,
		"case":        `func() { switch kind { case api.FleetKind: } }`,
		"map_key":     `map[string]bool{api.FleetKind: true}`,
		"index":       `known[api.FleetKind]`,
		"contains":    `slices.Contains([]string{api.FleetKind}, kind)`,
		"sought":      `slices.Index(known, api.FleetKind)`,
		"folded":      `strings.EqualFold(kind, api.FleetKind)`,
		"constant":    "kind == k; const k = api.FleetKind",
		"constants":   "kind == l; const (k = api.FleetKind; l = k)",
		"variable":    `g == kind; var g = "GitRepository"`,
		"local":       `func() { const k = api.FleetKind; _ = kind == k }`,
		"short":       `func() { k := api.FleetKind; _ = kind == k }`,
		"list":        `slices.Contains(list, kind); var list = []string{"a", api.FleetKind}`,
		"range":       `func() { for _, k := range list { _ = kind == k } }; var list = []string{api.FleetKind}`,
		"converted":   `kind == k; const k = string(api.FleetKind)`,
		"prefix":      `strings.HasPrefix(kind, "Helm")`,
		"prefix_name": `strings.HasPrefix(kind, p); const p = "Helm"`,
		"suffix":      `strings.HasSuffix(kind, "Repository")`,
		"part":        `strings.Contains(kind, "Generator")`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.go")
			imports := fmt.Sprintf("package x\nimport (\"slices\"; \"strings\"; %q)\n", module+"/hub/api")
			if err := os.WriteFile(file, []byte(imports+"var x = "+code), 0o600); err != nil {
				t.Fatal(err)
			}
			p := pkg{path: "hub/operatorconfig"}
			if err := p.readFile(file); err != nil {
				t.Fatal(err)
			}
			p.follow()
			p.words = nil // a literal must be seen as what decides
			if len(kinds([]pkg{p})) == 0 {
				t.Errorf("compared %q, parts %q", p.compared, p.parts)
			}
		})
	}
}
