package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// moving returns the steps that move HelmReleases, once Flux's kustomize-controller is gone; none if there are none.
func (c *comparison) moving(r *Report) []Step {
	kinds, others := c.Flux.releaseKinds()
	if len(kinds) == 0 {
		return nil
	}
	file := fmt.Sprintf("take %s out of spec.passThrough in %s", strings.Join(kinds, ", "), hubFile)
	if others == 0 {
		file = fmt.Sprintf("take spec.passThrough out of %s", hubFile)
	}
	commands := append(c.sending(c.releaseSecrets(kinds)), "nave apply -f "+hubFile,
		"nave get helmreleases -A --cluster "+r.Cluster, "nave explain")
	steps := []Step{{Commands: commands, Title: "Move HelmReleases, when all is well: " + file + ". The spoke suspends " +
		"Flux's HelmReleases and goes on with Helm's records; to pass them through again is the way back"}}
	if others == 0 {
		steps = append(steps, Step{Title: "Remove the rest of Flux", Commands: c.uninstalling()})
	}
	return steps
}

// releaseKinds returns the kinds that are passed through for HelmReleases alone, as Kind.group, and how many are passed
// through for others.
func (f *Flux) releaseKinds() (kinds []string, others int) {
	all, kept := map[string]bool{}, map[string]bool{}
	for _, kind := range api.Kinds() {
		if carriedOut(kind) {
			continue
		}
		into := kept
		if kind.IsRelease() {
			into = all
		}
		for _, o := range f.of(kind.Name) {
			into[kind.Name+"."+kind.Group] = true
			for _, source := range namedSources(o) {
				into[source] = true
			}
		}
	}
	maps.DeleteFunc(all, func(kind string, _ bool) bool { return kept[kind] })
	return slices.Sorted(maps.Keys(all)), len(kept)
}

// releaseSecrets returns the Secrets of the sources of some kinds, given as Kind.group.
func (c *comparison) releaseSecrets(kinds []string) (all []Secret) {
	for _, o := range c.Flux.Objects {
		kind, known := api.KindOf(o)
		if !known || kind.Role != api.SourceRole || !slices.Contains(kinds, kind.Name+"."+kind.Group) {
			continue
		}
		if admitted, err := api.Admit(asNew(o), api.ClusterGraph); err == nil {
			all = addSecrets(all, admitted, true)
		}
	}
	return all
}

// sending returns the commands that give the hub Secrets of the cluster, sorted.
func (c *comparison) sending(secrets []Secret) []string {
	commands := map[string]bool{}
	for _, s := range secrets {
		get := c.on("kubectl --namespace " + s.Namespace)
		commands[fmt.Sprintf("%s get secret %s -o yaml | nave apply -f -", get, s.Name)] = true
	}
	return slices.Sorted(maps.Keys(commands))
}

// refusedReleases returns the HelmReleases of the cluster with fields that the hub would refuse.
func (f *Flux) refusedReleases() (refused []Refusal) {
	for _, o := range f.Objects {
		kind, known := api.KindOf(o)
		if !known || !kind.IsRelease() {
			continue
		}
		if _, err := api.Admit(asNew(o), api.ClusterGraph); err != nil {
			refused = append(refused, Refusal{manifest.IDOf(o).String(), condition.Refused, err.Error()})
		}
	}
	return refused
}
