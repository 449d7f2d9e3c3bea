package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/migrate"
	"github.com/navefleet/nave/shared/wording"
)

// printMigration prints a report in a format; "" is the one for people.
func printMigration(out io.Writer, r *migrate.Report, format string) error {
	if format != "" {
		return printIn(out, format, r)
	}
	printKustomizations(out, r)
	printLeft(out, r)
	printNeeds(out, r)
	var folded []string
	for _, f := range r.Folded {
		folded = append(folded, fmt.Sprintf("%s (%s:%d)", f.Object, f.File, f.Line))
	}
	heading(out, "Folded texts with an empty line that Flux's library adds and YAML does not have; it goes:", folded...)
	heading(out, "To know:", r.Notices...)
	fmt.Fprintln(out, "\nSteps:")
	for i, s := range r.Steps {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, s.Title)
		for _, command := range s.Commands {
			fmt.Fprintf(out, "   %s\n", command)
		}
	}
	return nil
}

// heading prints lines below a title; nothing if there are none.
func heading(out io.Writer, title string, lines ...string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(out, "  %s\n", oneLine(line))
	}
}

func printKustomizations(out io.Writer, r *migrate.Report) {
	var names []string
	for _, c := range r.Controllers {
		names = append(names, strings.TrimSpace(c.Name+" "+c.Version))
	}
	fmt.Fprintf(out, "Cluster %s, with %s.\n\n", r.Cluster, cmp.Or(listed(names), "no Deployment of Flux"))
	var rows [][]string
	for _, k := range r.Kustomizations {
		state := "Ready=" + k.Ready
		switch {
		case !k.InCluster:
			state = "does not have it"
		case k.Suspended:
			state = "suspended"
		}
		rendered := "yes"
		if !k.Rendered {
			rendered = "no"
		}
		rows = append(rows, []string{k.Namespace, k.Name, state, fmt.Sprint(len(k.TakenOver)), fmt.Sprint(len(k.New)),
			fmt.Sprint(len(k.Left)), rendered})
	}
	headings := []string{"NAMESPACE", "KUSTOMIZATION", "FLUX", "TAKEN OVER", "NEW", "LEFT", "RENDERED"}
	_ = newTableWriter(out, headings, true, false).print(rows)
}

// printBases prints the remote bases, which the hub fetches if its operator wants that, and what was not compared.
func printBases(out io.Writer, r *migrate.Report) {
	var fetched, unknown []string
	for _, b := range r.RemoteBases {
		of := " (Kustomization " + strings.Join(b.Kustomizations, ", ") + ")"
		fetched = append(fetched, b.Address+of)
		switch {
		case b.NotCompared && b.File:
			unknown = append(unknown, b.Address+of+": a file, which cannot be given")
		case b.NotCompared:
			unknown = append(unknown, b.Address+of)
		}
	}
	heading(out, "Remote bases, fetched when nave-hub runs with "+strings.Join(r.BaseFlags(), " ")+":", fetched...)
	heading(out, "Not compared, because nave does not fetch; give the repositories with --local-bases ADDRESS=DIR:",
		unknown...)
	var others []string
	for _, s := range r.OtherSources {
		others = append(others, fmt.Sprintf("%s, %s (Kustomization %s)", s.Source, s.URL,
			strings.Join(s.Kustomizations, ", ")))
	}
	heading(out, "Not compared, because it is in another repository; give checkouts with --local-sources SOURCE=DIR:",
		others...)
}

// printLeft prints what is not taken over.
func printLeft(out io.Writer, r *migrate.Report) {
	var refused, left []string
	for _, p := range r.Refused {
		refused = append(refused, fmt.Sprintf("%s: %s: %s", p.Object, p.Reason, p.Message))
	}
	heading(out, "Refused, or not complete:", refused...)
	printBases(out, r)
	for _, k := range r.Kustomizations {
		for _, o := range k.Left {
			left = append(left, fmt.Sprintf("%s (Kustomization %s/%s)", o, k.Namespace, k.Name))
		}
	}
	heading(out, "Applied by Flux, and not in Git any more; they stay in the cluster, and nobody prunes them:", left...)
	heading(out, "Objects of Flux that nothing in Git gives; Nave does not know them:", r.NotInGit...)
	var later []string
	for _, p := range r.RefusedReleases {
		later = append(later, p.Message)
	}
	heading(out, "HelmReleases that Nave would refuse; correct them in Git before you move them:", later...)
	for _, kind := range slices.Sorted(maps.Keys(r.PassedThrough)) {
		heading(out, fmt.Sprintf("%s of %s, for which Flux's controller stays:",
			wording.Count(len(r.PassedThrough[kind]), "object"), kind), r.PassedThrough[kind]...)
	}
}

// printNeeds prints which credentials and keys are needed.
func printNeeds(out io.Writer, r *migrate.Report) {
	var secrets, keys []string
	for _, s := range r.Secrets {
		line := fmt.Sprintf("%s/%s: %s, for %s", s.Namespace, s.Name, s.Entries, strings.Join(s.For, ", "))
		if s.Bound {
			line += "; bind it to its host and namespace (docs/tenancy.md)"
		}
		secrets = append(secrets, line)
	}
	heading(out, "Secrets that the hub needs:", secrets...)
	for _, k := range r.Keys {
		where := "Secret " + k.Secret
		if k.Secret == "" {
			where = "no Secret, because spec.decryption names none"
		}
		keys = append(keys, fmt.Sprintf("%s: keys for %s; %s of Kustomization %s", where,
			strings.Join(k.Recipients, ", "), wording.Count(len(k.Files), "file"),
			strings.Join(k.Kustomizations, ", ")))
	}
	heading(out, "Decryption keys that the spoke needs:", keys...)
}
