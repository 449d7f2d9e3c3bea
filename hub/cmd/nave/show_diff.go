package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// showSealed replaces the placeholders of encrypted values in an object by the file and the key of the value, with a
// short digest of the encrypted text. In the data of a Secret, base64 around a placeholder is decoded.
//
// The same holds for values that only the cluster can read: they are shown with their object, its key and their path.
func showSealed(o *manifest.Object, app *bundle.Application) {
	var pairs []string
	add := func(placeholder, what string, path []string) {
		id := manifest.DigestOf([]byte(placeholder)).String()
		name := fmt.Sprintf("<%s, %s>", strings.TrimSpace(what+" "+strings.Join(path, ".")), id[len(id)-8:])
		pairs = append(pairs, placeholder, name)
	}
	for _, f := range app.SealedFiles {
		for _, v := range f.Values {
			add(v.Placeholder, "encrypted: "+f.Path, v.Path)
		}
	}
	for _, source := range app.ValueSources {
		for _, v := range source.Values {
			add(v.Placeholder, "in the cluster: "+source.Question.String()+":", v.Path)
		}
	}
	showNamed(o, append(pairs, generatedNames(recipesOf(app))...))
}

// mapStrings replaces every string in JSON values.
func mapStrings(v any, replace func(path, text string) string) { _ = mapped(v, "", replace) }

func mapped(v any, path string, replace func(path, text string) string) any {
	switch v := v.(type) {
	case string:
		return replace(path, v)
	case map[string]any:
		for key, field := range v {
			v[key] = mapped(field, strings.TrimPrefix(path+"."+key, "."), replace)
		}
	case []any:
		for i, item := range v {
			v[i] = mapped(item, path+"[]", replace)
		}
	}
	return v
}

// diffObjects returns the unified diff of two objects. A zero digest is no object.
func diffObjects(old, new *edition, before, after manifest.Digest) (string, error) {
	var was, is *manifest.Object
	var err error
	if !before.IsZero() {
		if was, err = old.object(before); err != nil {
			return "", err
		}
	}
	if is, err = new.object(after); err != nil {
		return "", err
	}
	hideSecrets(was, is)
	showSealed(was, old.app)
	showSealed(is, new.app)
	return unified(was, is)
}

// unified returns the unified diff of two objects as YAML, without a header.
func unified(was, is *manifest.Object) (string, error) {
	texts := [2]string{}
	for i, o := range []*manifest.Object{was, is} {
		if o == nil {
			continue
		}
		text, err := yamlText(o.Object)
		if err != nil {
			return "", err
		}
		texts[i] = text
	}
	return hunks(texts[0], texts[1]), nil
}

// hunks returns the unified diff of two texts, without a header.
func hunks(old, new string) string {
	text := udiff.Unified("a", "b", old, new)
	if _, after, ok := strings.Cut(text, "\n+++ b\n"); ok {
		return after
	}
	return text
}

// diffOptions returns the change of the options of an Application, as fields of its Kustomization.
func diffOptions(name string, old, new *bundle.Application) []change {
	if old.Name == (bundle.ApplicationName{}) || new.Name == (bundle.ApplicationName{}) {
		return nil
	}
	text := hunks(optionsOf(old), optionsOf(new))
	if text == "" {
		return nil
	}
	return []change{{application: name, verb: changed, text: text}}
}

// optionsOf returns the options of an Application, one a line.
func optionsOf(a *bundle.Application) string {
	var b strings.Builder
	line := func(field string, value any) { fmt.Fprintf(&b, "%s: %v\n", field, value) }
	line("prune", a.Prune)
	line("wait", a.Wait)
	line("force", a.Force)
	line("timeout", a.Timeout)
	line("interval", a.Interval)
	line("retryInterval", a.RetryInterval)
	line("deletionPolicy", a.DeletionPolicy)
	line("serviceAccountName", a.ServiceAccount)
	line("decryption", strings.Trim(a.Decryption.Namespace+"/"+a.Decryption.Name, "/"))
	for _, d := range a.DependsOn {
		line("dependsOn", d)
	}
	for _, h := range a.HealthChecks {
		line("healthChecks", h.ID())
	}
	for _, h := range a.HealthExpressions {
		line("healthCheckExprs", h)
	}
	for _, r := range a.ReadyExpressions {
		line("readyExpr", r.Dependency.String()+": "+r.Expression)
	}
	for _, text := range releaseLines(a.Release) {
		b.WriteString(text + "\n")
	}
	return b.String()
}

// unseen says what differs if no object and no option does.
func unseen(old, new *bundle.Application) string {
	before := map[string]manifest.Digest{}
	for _, f := range old.SealedFiles {
		before[f.Path] = f.Digest
	}
	var paths []string
	for _, f := range new.SealedFiles {
		if before[f.Path] != f.Digest {
			paths = append(paths, f.Path)
		}
	}
	if len(paths) > 0 {
		return "no value changed, but how these files are encrypted: " + strings.Join(paths, ", ")
	}
	return "no object and no option changed, but their order, or the variables that the spoke substitutes"
}

// changeGroup is all changes of the same clusters that are held for the same reason.
type changeGroup struct {
	clusters []string
	held     string
	changes  []change
}

// groups returns the changes by clusters, those of most clusters first.
func (c *comparison) groups() (groups []*changeGroup) {
	byClusters := map[string]*changeGroup{}
	for x, clusters := range c.changes {
		clusters = slices.Compact(slices.Sorted(slices.Values(clusters)))
		id := strings.Join(clusters, "\n") + "\n\n" + x.held
		if byClusters[id] == nil {
			byClusters[id] = &changeGroup{clusters: clusters, held: x.held}
			groups = append(groups, byClusters[id])
		}
		byClusters[id].changes = append(byClusters[id].changes, x)
	}
	for _, g := range groups {
		slices.SortFunc(g.changes, compareChanges)
	}
	slices.SortFunc(groups, func(a, b *changeGroup) int {
		return cmp.Or(len(b.clusters)-len(a.clusters), slices.Compare(a.clusters, b.clusters),
			strings.Compare(a.held, b.held))
	})
	return groups
}

// title returns "name: object verb" of a change.
func (x change) title() string {
	switch {
	case !x.object.isObject() && x.verb != changed:
		return x.application + ": " + x.text
	case !x.object.isObject():
		return x.application + ": options changed"
	}
	return x.application + ": " + x.object.String() + " " + string(x.verb)
}

// summary returns how much changes, in one line.
func (c *comparison) summary() string {
	counts, clusters, held := map[verb]int{}, map[string]bool{}, map[string]bool{}
	seen := map[change]bool{}
	for x, names := range c.changes {
		for _, name := range names {
			clusters[name] = true
			held[name] = held[name] || x.held != ""
		}
		if x.held = ""; !seen[x] {
			seen[x] = true
			counts[x.verb]++
		}
	}
	maps.DeleteFunc(held, func(_ string, is bool) bool { return !is })
	if c.nothingCompared() {
		return "Nothing was compared on " + wording.Count(c.clusters+len(c.unreadable), "cluster") + "."
	}
	switch {
	case c.clusters == 0 && len(c.unreadable) > 0:
		return "Nothing was compared" + c.reservation() + "."
	case len(counts) == 0:
		return "No difference on " + wording.Count(c.clusters, "cluster") + c.reservation() + "."
	}
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
	}
	text := fmt.Sprintf("On %d of %s: %s", len(clusters), wording.Count(c.clusters, "cluster"), strings.Join(parts, ", "))
	if len(held) > 0 {
		text += "; held on " + wording.Count(len(held), "cluster")
	}
	return text + c.reservation() + "."
}

// reservation returns the end of a summary that says that not everything was compared.
func (c *comparison) reservation() (text string) {
	if len(c.problems)+len(c.kept)+len(c.unasked) > 0 {
		text = "; not everything was compared"
	}
	if len(c.unreadable) > 0 {
		text += "; not compared: " + listed(slices.Sorted(maps.Keys(c.unreadable)))
	}
	return text
}

// print prints the changes as unified diffs.
func (c *comparison) print(out io.Writer) {
	for _, g := range c.groups() {
		fmt.Fprintf(out, "# %s: %s\n", wording.Count(len(g.clusters), "cluster"), listed(g.clusters))
		if g.held != "" {
			fmt.Fprintf(out, "# held: %s\n", g.held)
		}
		for _, x := range g.changes {
			fmt.Fprintf(out, "## %s\n", x.title())
			if x.object.isObject() || x.verb == changed {
				fmt.Fprint(out, x.text)
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, c.summary())
}

// printMarkdown prints the changes for a pull request.
func (c *comparison) printMarkdown(out io.Writer) {
	fmt.Fprintf(out, "## What changes\n\n%s\n", c.summary())
	for _, g := range c.groups() {
		fmt.Fprintf(out, "\n### %s\n\n%s\n", wording.Count(len(g.clusters), "cluster"), markdown(listed(g.clusters)))
		if g.held != "" {
			fmt.Fprintf(out, "\n**held:** %s\n", markdown(g.held))
		}
		for _, x := range g.changes {
			if x.text == "" || !x.object.isObject() && x.verb != changed {
				fmt.Fprintf(out, "\n- %s\n", markdown(x.title()))
				continue
			}
			fence := strings.Repeat("`", max(3, longestRun(x.text, '`')+1))
			fmt.Fprintf(out, "\n<details><summary>%s</summary>\n\n%sdiff\n%s%s\n\n</details>\n", markdown(x.title()), fence,
				x.text, fence)
		}
	}
	markdownList(out, "Not valid", c.check.lines())
	markdownList(out, "Not rendered", byClusters(c.problems))
	markdownList(out, "Not asked", byClusters(c.unasked))
	markdownList(out, "Not compared", byClusters(c.notCompared()))
}

// markdownList prints lines below a title; nothing if there are none.
func markdownList(out io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s\n\n", title)
	for _, line := range lines {
		fmt.Fprintf(out, "- %s\n", markdown(line))
	}
}

// markdown escapes a text for one line of Markdown.
func markdown(text string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]",
		"\\]", "|", "\\|", "@", "&#64;", "#", "\\#").Replace(oneLine(text))
}

// longestRun returns the length of the longest run of a character.
func longestRun(text string, of rune) (longest int) {
	run := 0
	for _, r := range text {
		if r != of {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
