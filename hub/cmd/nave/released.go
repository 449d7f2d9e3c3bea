package main

import (
	"cmp"
	"fmt"
	"strings"

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

// printoutOfReleased returns the applications of a release. after and before are the headings of the revisions.
func printoutOfReleased(cluster string, list []releasedApplication, after, before string) printout {
	l := printout{value: list, items: []any{}, names: []string{},
		table: table{headings: []string{"APPLICATION", "CHANGE", after, before, "DIGEST"}}}
	for _, a := range list {
		key := &adminv1.ObjectKey{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name}
		l.items = append(l.items, applicationOfCluster{cluster, a})
		l.names = append(l.names, resourceName(key))
		l.table.rows = append(l.table.rows, []string{show(key), said(a.Change), short(a.Revision), short(a.RevisionBefore),
			short(a.Digest)})
		l.notes = append(l.notes, remoteBases(show(key), a, before)...)
	}
	return l
}

// applicationOfCluster is an application of a release with the name of its cluster.
type applicationOfCluster struct {
	Cluster string `json:"cluster"`
	releasedApplication
}

// remoteBases returns the lines about the remote bases of an application, and those that it had before if they were
// others.
func remoteBases(name string, a releasedApplication, before string) []string {
	now, was := oneLine(strings.Join(a.RemoteBases, ", ")), oneLine(strings.Join(a.RemoteBasesBefore, ", "))
	if now == "" && was == "" {
		return nil
	}
	lines := []string{fmt.Sprintf("Remote bases of %s: %s", name, cmp.Or(now, "none"))}
	if was != now && a.RevisionBefore != "" {
		lines = append(lines, fmt.Sprintf("    %s: %s", strings.ToLower(before), cmp.Or(was, "none")))
	}
	return lines
}
