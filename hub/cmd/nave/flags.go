package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
)

// globalFlags are the flags of the root command.
var globalFlags = []string{"cluster", "config", "context", "namespace", "timeout"}

// unusedFlags is the annotation of a command with the global flags that have no effect for it and its subcommands.
const unusedFlags = "nave/unused-flags"

// without makes a command and its subcommands refuse global flags that have no effect there. Of a subcommand that has
// its own list, only that counts.
func without(cmd *cobra.Command, flags ...string) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[unusedFlags] = strings.Join(flags, " ")
	return cmd
}

// checkFlags returns an error about global flags that have no effect for a command, or no meaning.
func checkFlags(cmd *cobra.Command) error {
	for c := cmd; c != nil; c = c.Parent() {
		if unused, has := c.Annotations[unusedFlags]; has {
			if err := refuse(cmd, strings.Fields(unused)...); err != nil {
				return err
			}
			break
		}
	}
	f := cmd.Flags()
	for _, name := range []string{"cluster", "namespace"} {
		if flag := f.Lookup(name); flag != nil && flag.Changed && flag.Value.String() == "" {
			return fmt.Errorf("--%s is empty: name one, or leave it out", name)
		}
	}
	if f.Changed(allNamespaces) && f.Changed("namespace") {
		return errors.New("-A and --namespace exclude each other: leave out one")
	}
	return nil
}

// allNamespaces is the flag -A. It means one thing everywhere: in all namespaces of the hub and of all clusters, or of
// --cluster.
const allNamespaces = "all-namespaces"

// addAllNamespaces adds the flag -A; more is the end of its description.
func addAllNamespaces(cmd *cobra.Command, all *bool, more string) {
	cmd.Flags().BoolVarP(all, allNamespaces, "A", false,
		"in all namespaces of the hub and of all clusters, or of --cluster"+more)
}

// selector is the value of the flag --selector. A wrong one is an error of the command line, so the hub is not asked.
type selector string

// addSelector adds the flag --selector.
func addSelector(cmd *cobra.Command, to *selector, usage string) {
	cmd.Flags().VarP(to, "selector", "l", usage)
}

// Set implements pflag.Value.
func (s *selector) Set(text string) error {
	_, err := labels.Parse(text)
	*s = selector(text)
	return err
}

// String implements pflag.Value.
func (s *selector) String() string { return string(*s) }

// Type implements pflag.Value.
func (s *selector) Type() string { return "string" }

// refuse returns an error if one of the flags is given, which have no effect for the command.
func refuse(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return withExit2(fmt.Errorf("--%s does nothing here: leave it out; usage: %s", name, cmd.UseLine()))
		}
	}
	return nil
}

// withUsage adds the usage of a command to an error about its flags or arguments.
func withUsage(cmd *cobra.Command, err error) error {
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return err
	}
	for flag, instead := range fluxFlags {
		if strings.HasSuffix(err.Error(), "unknown flag: "+flag) {
			err = fmt.Errorf("%w: %s", err, instead)
		}
	}
	return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
}

// fluxFlags are flags of flux that nave does not have, with what to write instead.
var fluxFlags = map[string]string{
	"--no-header":       "write --no-headers",
	"--status-selector": "nave explain lists what is not ready",
}

// helpWithArgs adds the usage of a command to its error about wrong arguments, and does the same for its subcommands.
func helpWithArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error { return withUsage(cmd, check(cmd, args)) }
	}
	for _, below := range c.Commands() {
		helpWithArgs(below)
	}
}
