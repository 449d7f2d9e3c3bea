package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
)

// hubFile and spokeFile are the files that the commands write and read.
const (
	hubFile   = "hub.yaml"
	spokeFile = "spoke.yaml"
)

// steps returns the migration as commands.
func (c *comparison) steps(r *Report) []Step {
	steps := []Step{}
	if !r.OK() {
		steps = append(steps, Step{Title: "Mend in Git what is refused or left, or decide that it stays behind; " +
			"compare the rest"})
	}
	steps = append(steps, Step{Title: "Write the objects that the hub needs, look at them, and give them to the hub",
		Commands: c.giving(r)})
	if flags := r.BaseFlags(); len(flags) > 0 {
		title := "Let the hub fetch the remote bases: run nave-hub with " + strings.Join(flags, " ")
		steps = append(steps, Step{Title: title})
	}
	steps = append(steps,
		Step{Title: "See what the hub makes of it; nothing changes in the cluster yet", Commands: []string{
			"nave get kustomizations --cluster " + r.Cluster}},
		Step{Title: "Suspend Flux", Commands: append(c.disabling(), c.suspending()...)},
		Step{Title: "Deploy the spoke" + withKeys(r), Commands: []string{c.on("kubectl apply -f " + spokeFile)}},
		Step{Title: "Check until all is well; until here flux resume is the way back", Commands: []string{"nave explain",
			strings.TrimSpace("nave diff cluster " + r.Cluster + " " + c.Checkout)}},
		c.removing(r),
	)
	return append(steps, c.moving(r)...)
}

// on returns a command with the flags that reach the cluster.
func (c *comparison) on(command string) string { return strings.TrimSpace(command + " " + c.Access) }

// giving returns the commands that bring the hub what it needs.
func (c *comparison) giving(r *Report) []string {
	commands := []string{c.on("nave migrate flux --name "+r.Cluster) + " --export > " + hubFile}
	commands = append(commands, c.sending(r.Secrets)...)
	return append(commands, "nave apply -f "+hubFile,
		fmt.Sprintf("nave cluster add %s --label %s=%s > %s", r.Cluster, Label, fluxes, spokeFile))
}

// suspending returns a command for each namespace with Kustomizations.
func (c *comparison) suspending() (commands []string) {
	namespaces := map[string]bool{}
	for _, k := range c.Flux.kustomizations() {
		namespaces[k.GetNamespace()] = true
	}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		commands = append(commands, c.on("flux suspend kustomization --all --namespace "+namespace))
	}
	return commands
}

// fluxOperator is what the Flux Operator writes into the label managed-by of the controllers that it installs.
const fluxOperator = "flux-operator"

// operated returns the namespaces whose controllers the Flux Operator installed.
func (c *comparison) operated() (namespaces []string) {
	for _, controller := range c.Flux.Controllers {
		if controller.ManagedBy == fluxOperator && !slices.Contains(namespaces, controller.Namespace) {
			namespaces = append(namespaces, controller.Namespace)
		}
	}
	slices.Sort(namespaces)
	return namespaces
}

// disabling returns the commands that keep the Flux Operator from resuming and installing Flux again.
func (c *comparison) disabling() (commands []string) {
	for _, namespace := range c.operated() {
		commands = append(commands, c.on("kubectl --namespace "+namespace+
			" annotate fluxinstance --all --overwrite fluxcd.controlplane.io/reconcile=disabled"))
	}
	return commands
}

// withKeys returns which Secrets with keys must be in the cluster.
func withKeys(r *Report) string {
	var secrets []string
	for _, k := range r.Keys {
		if k.Secret != "" {
			secrets = append(secrets, k.Secret)
		}
	}
	if len(secrets) == 0 {
		return ""
	}
	return "; it finds its keys where Flux does: " + strings.Join(secrets, ", ")
}

// removing returns the last step. Controllers of kinds that are passed through stay.
func (c *comparison) removing(r *Report) Step {
	var commands []string
	for _, namespace := range c.operated() { // disabled, a FluxInstance leaves everything as it is
		commands = append(commands, c.on("kubectl --namespace "+namespace+" delete fluxinstance --all"))
	}
	if len(r.PassedThrough) == 0 {
		return Step{Title: "Remove Flux", Commands: append(commands, c.uninstalling()...)}
	}
	step := Step{Title: "Remove Flux's kustomize-controller; the other controllers stay for " +
		strings.Join(slices.Sorted(maps.Keys(r.PassedThrough)), ", "), Commands: commands}
	for _, controller := range r.Controllers {
		if controller.Name == kustomizeController {
			step.Commands = append(step.Commands, c.on(fmt.Sprintf("kubectl --namespace %s delete deployment %s",
				controller.Namespace, controller.Name)))
		}
	}
	return step
}

// uninstalling returns a command for each namespace with controllers.
func (c *comparison) uninstalling() (commands []string) {
	for _, controller := range c.Flux.Controllers {
		command := "flux uninstall --keep-namespace --silent"
		if controller.Namespace != api.FluxRoot {
			command += " --namespace " + controller.Namespace
		}
		if command = c.on(command); !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	if len(commands) == 0 {
		return []string{c.on("flux uninstall --keep-namespace --silent")}
	}
	return commands
}
