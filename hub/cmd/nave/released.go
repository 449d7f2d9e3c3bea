package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// releasedApplication is an application in two releases, as nave history prints it as JSON or YAML. Its field names are
// stable.
type releasedApplication struct {
	Kind           string `json:"kind"`
	Namespace      string `json:"namespace"`
	Name           string `json:"name"`
	Change         string `json:"change,omitempty"`
	Revision       string `json:"revision,omitempty"`
	Digest         string `json:"digest,omitempty"`
	RevisionBefore string `json:"revisionBefore,omitempty"`
	DigestBefore   string `json:"digestBefore,omitempty"`

	RemoteBases       []string `json:"remoteBases,omitempty"`
	RemoteBasesBefore []string `json:"remoteBasesBefore,omitempty"`
}

// applicationChanges are the words for what a release changes of an application.
var applicationChanges = map[adminv1.ApplicationChange]string{
	adminv1.ApplicationChange_APPLICATION_CHANGE_SAME:    "same",
	adminv1.ApplicationChange_APPLICATION_CHANGE_CHANGED: "changed",
	adminv1.ApplicationChange_APPLICATION_CHANGE_ADDED:   "added",
	adminv1.ApplicationChange_APPLICATION_CHANGE_REMOVED: "removed",
	adminv1.ApplicationChange_APPLICATION_CHANGE_KEPT:    "stays as it is",
}

// releasedOf returns the applications of an answer of the hub.
func releasedOf(list []*adminv1.ReleasedApplication) (all []releasedApplication) {
	for _, a := range list {
		all = append(all, releasedApplication{
			Kind: a.GetKey().GetKind(), Namespace: a.GetKey().GetNamespace(), Name: a.GetKey().GetName(),
			Change: applicationChanges[a.GetChange()], Revision: a.GetRevision(), Digest: a.GetDigest(),
			RevisionBefore: a.GetRevisionBefore(), DigestBefore: a.GetDigestBefore(),
			RemoteBases: a.GetBases(), RemoteBasesBefore: a.GetBasesBefore(),
		})
	}
	return all
}

// short returns a revision or a digest for a table.
func short(s string) string { return oneLine(said(api.ShortRevision(s))) }

// printReleased prints the applications of a release as a table. after and before are the headings of the revisions.
func printReleased(out io.Writer, list []releasedApplication, after, before string) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "APPLICATION\tCHANGE\t%s\t%s\tDIGEST\n", after, before)
	for _, a := range list {
		name := show(&adminv1.ObjectKey{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name})
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, said(a.Change), short(a.Revision), short(a.RevisionBefore),
			short(a.Digest))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, a := range list {
		printRemoteBases(out, a, before)
	}
	return nil
}

// printRemoteBases prints the remote bases of an application, and those that it had before if they were others.
func printRemoteBases(out io.Writer, a releasedApplication, before string) {
	now, was := oneLine(strings.Join(a.RemoteBases, ", ")), oneLine(strings.Join(a.RemoteBasesBefore, ", "))
	if now == "" && was == "" {
		return
	}
	name := show(&adminv1.ObjectKey{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name})
	fmt.Fprintf(out, "Remote bases of %s: %s\n", name, cmp.Or(now, "none"))
	if was != now && a.RevisionBefore != "" {
		fmt.Fprintf(out, "    %s: %s\n", strings.ToLower(before), cmp.Or(was, "none"))
	}
}
