package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

const (
	completeTime = 2 * time.Second // that the hub may take to complete a word
	completeMost = 500             // objects that a word is completed from, of one kind
)

// completer returns the words that the present one may become. It never fails: without a hub there are none.
type completer = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// completeAll gives a command and all commands below it what they need to complete arguments and values of flags.
func completeAll(s *session, cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
		cmd.ValidArgsFunction = s.completerOf(cmd)
	}
	complete := func(f *pflag.Flag) {
		if _, has := cmd.GetFlagCompletionFunc(f.Name); !has && f.NoOptDefVal == "" {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, s.completerOfFlag(f)) // the flag exists, and has none
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(complete)
	cmd.PersistentFlags().VisitAll(complete)
	for _, below := range cmd.Commands() {
		completeAll(s, below)
	}
}

// completerOf returns the completer of the arguments that the usage of a command names; nil: it has no arguments.
func (s *session) completerOf(cmd *cobra.Command) completer {
	path, use := cmd.CommandPath(), cmd.Use
	ofKind, isKind := api.KindByName(cmd.Name())
	if words, is := api.KindByName(strings.TrimPrefix(path, "nave ")); is {
		ofKind, isKind = words, is // nave image update
	}
	switch {
	case path == "nave logs":
		return s.names(api.ClusterKind, "hub")
	case path == "nave cluster add", strings.HasPrefix(path, "nave create "), strings.Contains(use, "oci://"),
		strings.HasSuffix(use, " COMMAND"):
		return cobra.NoFileCompletions
	case path == "nave confirm":
		return s.kindsAndNames("hub")
	case path == "nave get", path == "nave export":
		return s.kindsAndNames("all")
	case strings.Contains(use, "POLICY TAG"):
		most := 1
		if strings.HasSuffix(use, "...") {
			most = 0
		}
		return s.tags(most, cmd.Name() == "include")
	case strings.Contains(use, "POLICY..."):
		return s.names(api.ImagePolicyKind)
	case strings.Contains(use, "KIND"):
		return s.kindsAndNames()
	case strings.Contains(use, "CLUSTER"), strings.HasPrefix(path, "nave cluster ") && strings.Contains(use, "NAME"):
		return s.names(api.ClusterKind)
	case strings.Contains(use, " FILE"):
		return nil // the shell's own
	case isKind && strings.Contains(use, " NAME"):
		return then(s.names(ofKind.Name), strings.Contains(use, "DIR"))
	case strings.Contains(use, " NAME"):
		return s.names("helmrelease")
	}
	return cobra.NoFileCompletions
}

// then completes the first argument, and folders after it, or nothing.
func then(first completer, folders bool) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return first(cmd, args, begun)
		case folders:
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// valuesOfFlags are the flags whose values are words.
var valuesOfFlags = map[string][]string{
	"level": {"debug", "info", "warn", "error"}, "provider": {"generic"}, "schemas": {"cluster"},
	"types": {condition.Normal, condition.Warning},
}

// outputs are the words that --output takes, if its usage names them.
var outputs = []string{"json", "yaml", "name", "wide", "jsonpath=", "custom-columns=", "diff", "markdown"}

// completerOfFlag returns the completer of the values of a flag.
func (s *session) completerOfFlag(f *pflag.Flag) completer {
	words, fixed := valuesOfFlags[f.Name]
	isPath := slices.ContainsFunc([]string{"file", "folder", "director", "checkout", "DIR", "socket"},
		func(word string) bool { return strings.Contains(f.Usage, word) })
	switch {
	case fixed:
		return fixedWords(words, cobra.ShellCompDirectiveNoFileComp)
	case f.Name == "cluster":
		return s.names(api.ClusterKind)
	case f.Name == "fleet":
		return s.names(api.FleetKind)
	case f.Name == "context":
		return s.contexts
	case f.Name == "namespace":
		return s.namespaces
	case f.Name == "for" && strings.Contains(f.Usage, "KIND/NAME"):
		return s.kindsAndNames()
	case f.Name == "output" && !isPath:
		words := slices.DeleteFunc(slices.Clone(outputs), func(w string) bool { return !strings.Contains(f.Usage, w) })
		return fixedWords(words, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
	case isPath, f.Name == "config", f.Name == "path":
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	return cobra.NoFileCompletions
}

func fixedWords(words []string, directive cobra.ShellCompDirective) completer {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return beginning(words, begun), directive
	}
}

// secondWords returns the second words of flux's names of kinds, such as "git", that begin with the only argument.
func secondWords(args []string) (words []string) {
	for _, kind := range api.Kinds() {
		for _, w := range kind.Words {
			if first, second, _ := strings.Cut(w, " "); kind.Supported() && len(args) == 1 &&
				(args[0] == first || args[0] == first+"s") {
				words = append(words, second)
			}
		}
	}
	return words
}

// kindsAndNames completes KIND NAME… and KIND/NAME; first are words that may stand in the place of the kind.
func (s *session) kindsAndNames(first ...string) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		word, name, slash := strings.Cut(begun, "/")
		if kind, ok := api.KindByName(word); ok && slash {
			var words []string
			for _, found := range s.objects(cmd, kind, name) {
				words = append(words, word+"/"+found)
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		if kind, _, err := kindOf(args); len(args) > 0 {
			if err != nil {
				return beginning(secondWords(args), begun), cobra.ShellCompDirectiveNoFileComp
			}
			return s.objects(cmd, kind, begun), cobra.ShellCompDirectiveNoFileComp
		}
		words := slices.Clone(first)
		for _, kind := range api.Kinds() {
			if kind.Supported() {
				words = append(words, kind.Plural)
			}
		}
		return beginning(words, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// names completes the names of objects of a kind; first are words that may stand in their place.
func (s *session) names(kind string, first ...string) completer {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		k, _ := api.KindByName(kind)
		return append(beginning(first, begun), s.objects(cmd, k, begun)...), cobra.ShellCompDirectiveNoFileComp
	}
}

// objects returns the names of a kind's objects that begin with a text, in the cluster and namespace of the flags.
func (s *session) objects(cmd *cobra.Command, kind api.Kind, begun string) []string {
	r := &adminv1.ListRequest{Kind: kind.Name}
	if kind.Namespaced {
		r.Namespace, r.Cluster, r.AllClusters = s.namespace, s.cluster, s.cluster == ""
	}
	return beginning(s.askObjects(cmd.Context(), (*adminv1.ObjectKey).GetName, r), begun)
}

// namespaces completes the namespaces that have objects.
func (s *session) namespaces(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var requests []*adminv1.ListRequest
	for _, kind := range api.Kinds() {
		if kind.Namespaced && (kind.Role == api.RenderableRole || kind.Role == api.SourceRole) {
			requests = append(requests, &adminv1.ListRequest{Kind: kind.Name, Cluster: s.cluster, AllClusters: s.cluster == ""})
		}
	}
	return beginning(s.askObjects(cmd.Context(), (*adminv1.ObjectKey).GetNamespace, requests...), begun),
		cobra.ShellCompDirectiveNoFileComp
}

// askObjects returns a part of the keys of the objects that the hub has, as far as the hub answers within completeTime.
func (s *session) askObjects(ctx context.Context, part func(*adminv1.ObjectKey) string,
	requests ...*adminv1.ListRequest) (parts []string) {
	client, done, err := s.dial()
	if err != nil {
		return nil
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	for _, r := range requests {
		r.Limit = completeMost
		answer, err := client.List(ctx, r)
		if err != nil {
			return parts
		}
		for _, o := range answer.GetObjects() {
			parts = append(parts, part(o.GetKey()))
		}
	}
	return parts
}

// contexts completes the contexts of the operator configuration.
func (s *session) contexts(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if _, config, err := s.loadConfig(); err == nil {
		for _, x := range config.Contexts {
			names = append(names, x.Name)
		}
	}
	return beginning(names, begun), cobra.ShellCompDirectiveNoFileComp
}

// beginning returns the words that begin with a text, sorted, each once.
func beginning(words []string, begun string) (found []string) {
	for _, word := range words {
		if word = oneLine(word); word != "" && strings.HasPrefix(word, begun) {
			found = append(found, word)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
