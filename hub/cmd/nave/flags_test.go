package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// flagsOf are the commands for which the same global flags have an effect, at least with some of their own flags.
var flagsOf = map[string]string{
	"cluster config context namespace timeout": "build helmrelease, build kustomization, confirm, debug helmrelease, " +
		"debug kustomization, delete, describe, diff helmrelease, diff kustomization, events, audit, explain, get, logs, " +
		"history helmrelease, image exclude, image include, image pin, image release, image update, reconcile, " +
		"release helmrelease, resume, rollback helmrelease, stats, suspend, test, trace, tree, wait",
	"config context namespace timeout": "bootstrap, create image policy, create image repository, " +
		"create image update, export",
	"config context timeout": "apply, build cluster, build fleet, check, cluster add, cluster get, cluster label, " +
		"cluster list, cluster remove, cluster rotate, cluster set, cluster upgrade, diff cluster, diff fleet, history, " +
		"keys list, keys retire, keys rotate, " +
		"operator add, operator list, operator remove, operator revoke, operator set, " +
		"plan, release, rollback, rollout abort, rollout approve, rollout list, rollout plan, rollout release, " +
		"rollout resume, rollout retry, rollout rollback, rollout simulate, rollout skip, rollout status, rollout suspend, " +
		"version",
	"timeout":   "diff artifact, list artifacts, pull artifact, push artifact, tag artifact",
	"context":   "migrate flux", // its own flag: of the kubeconfig
	"namespace": "debug values", // its own flag
	"":          "build artifact",
}

// everyRun calls do for each command that can be run, with its path without the program.
func everyRun(cmd *cobra.Command, path string, do func(path string, cmd *cobra.Command)) {
	for _, below := range cmd.Commands() {
		name := strings.TrimSpace(path + " " + below.Name())
		if below.HasSubCommands() {
			everyRun(below, name, do)
		}
		if below.Runnable() && !strings.HasSuffix(below.Use, " COMMAND") {
			do(name, below)
		}
	}
}

// TestFlags_unused says of each command and each global flag whether it has an effect, and refuses it if it has none.
func TestFlags_unused(t *testing.T) {
	flags, paths := map[string]string{}, map[string]bool{}
	for used, commands := range flagsOf {
		for path := range strings.SplitSeq(commands, ", ") {
			flags[path] = used
		}
	}
	everyRun(newCommand(), "", func(path string, _ *cobra.Command) {
		paths[path] = true
		used, known := flags[path]
		if !known {
			t.Errorf("nave %s: add it to the table, with the global flags that have an effect", path)
		}
		for _, flag := range globalFlags {
			root := newCommand()
			found, _, err := root.Find(strings.Fields(path))
			if err == nil {
				err = found.ParseFlags([]string{"--" + flag + "=1h"})
			}
			if err != nil {
				t.Fatal(err)
			}
			err = root.PersistentPreRunE(found, nil)
			if want := slices.Contains(strings.Fields(used), flag); (err == nil) != want {
				t.Errorf("nave %s --%s: got %v, want an effect: %v", path, flag, err, want)
			}
		}
	})
	for path := range flags {
		if !paths[path] {
			t.Errorf("there is no nave %s", path)
		}
	}
}

// endsWith runs nave with each of some arguments, and wants an exit code and a part of what is printed.
func endsWith(t *testing.T, config string, code int, cases map[string]string) {
	t.Helper()
	for args, want := range cases {
		if out, got := exitOf(t.Context(), config, strings.Fields(args)...); got != code || !strings.Contains(out, want) {
			t.Errorf("nave %s: exit code %d, want %d and %q: %s", args, got, code, want, out)
		}
	}
}

// TestFlags_exit_code ends with 2 if a command line is wrong, before a hub is asked.
func TestFlags_exit_code(t *testing.T) {
	everyRun(newCommand(), "", func(path string, _ *cobra.Command) {
		if out, code := exitOf(t.Context(), "none", append(strings.Fields(path), "--no-such-flag")...); code != 2 ||
			!strings.Contains(out, "unknown flag: --no-such-flag; usage: nave "+path) {
			t.Errorf("nave %s: exit code %d: %s", path, code, out)
		}
	})
	endsWith(t, "none", 2, map[string]string{
		"gte":                                  `unknown command "gte" for "nave"`,
		"cluster gte":                          `unknown command "gte" for "nave cluster"`,
		"get":                                  "usage: nave get",
		"history":                              "usage: nave history",
		"apply":                                "filename",
		"get ks -A -n apps":                    "-A and --namespace exclude each other",
		"events -A -n apps":                    "-A and --namespace exclude each other",
		"explain -A -n apps":                   "-A and --namespace exclude each other",
		"explain ks apps -A":                   "-A does nothing for one object",
		"wait ks --all -A -n apps":             "-A and --namespace exclude each other",
		"delete ks apps --cluster=":            "--cluster is empty",
		"get ks --namespace=":                  "--namespace is empty",
		"history east --cluster=east":          "--cluster does nothing here",
		"history helmrelease web --namespace=": "--namespace is empty",
		"get ks --timeout=soon":                "invalid argument",
		"get ks --no-header":                   "write --no-headers",
		"get ks --status-selector ready=false": "nave explain lists what is not ready",
		"install":                              "bootstrap",
		"cluster add a --adopt --label=a=b":    "none of the others can be",
		"delete -f a.yaml --cluster=a":         "--cluster does nothing here",
		"get ks -l a=b=c":                      "--selector",
		"wait ks -l !!":                        "--selector",
		"cluster set -l a,,b --var=a=b":        "--selector",
	})
	if out, code := exitOf(t.Context(), "none", "get", "--help"); code != 0 {
		t.Errorf("--help: exit code %d: %s", code, out)
	}
}

// TestFlags_kind refuses arguments and flags that have no effect for a kind.
func TestFlags_kind(t *testing.T) {
	config := waitHub(t)
	endsWith(t, config, 2, map[string]string{
		"get clusters --cluster=east":         "--cluster does nothing for clusters",
		"get fleet all -n=apps":               "--namespace does nothing for fleets",
		"reconcile cluster east -n=apps":      "--namespace does nothing for clusters",
		"describe fleet all --cluster=east":   "--cluster does nothing for fleets",
		"suspend clusters --all --cluster=a":  "--cluster does nothing for clusters",
		"wait clusters --all --cluster=east":  "--cluster does nothing for clusters",
		"delete cluster east --cluster=east":  "--cluster does nothing for clusters",
		"events cluster east -n=apps":         "--namespace does nothing for clusters",
		"get kustomisation":                   "did you mean kustomizations?",
		"tree events a":                       "nave events lists them",
		"get ks a b":                          "want at most one name",
		"describe ks a b":                     "want the name of exactly one Kustomization",
		"get ks -o xml":                       `unknown output "xml"`,
		"suspend ks a --all":                  "leave out --all, or a",
		"cluster label":                       "which labels?",
		"cluster label a=b":                   "which clusters?",
		"cluster set --var=a=b":               "which clusters?",
		"cluster add x --hub=:":               "--hub: ",
		"rollback a b --to=3":                 "name one cluster, or leave out --to",
		"rollback helmrelease web":            "name the cluster with --cluster",
		"rollback helmrelease w x --cluster=": "--cluster is empty",
		"bootstrap --url=https://a.example/b": "--path is missing",
		"cluster remove east":                 "add --yes",
		"confirm ks ring --yes":               "name the cluster with --cluster",
		"cluster add A_B":                     "metadata.name",
		"cluster add x --token-ttl=-1s":       "--token-ttl=-1s: want",
		"cluster label east a=b=c/d":          "metadata.labels",
		"cluster add x --token-ttl=10000h":    "ttl of 36000000 seconds",
		"cluster rotate east --token-ttl=0s":  "--token-ttl=0s: want",
		"get ks/":                             "is empty",
		"get ks apps/ring":                    "want Kustomization ring, with -n for the namespace",
		"describe ks apps/ring":               "want Kustomization ring",
		"wait ks/apps/ring":                   "want Kustomization ring",
		"get all a":                           "all takes no name",
		"get sources a":                       "stands for several kinds",
		"logs --level=loud":                   "want debug, info, warn or error",
		"logs --since=-1m":                    "--since -1m0s",
		"logs -o yaml":                        `unknown output "yaml"`,
		"logs --for=kustomization":            "want KIND/NAME",
		"events --for=kustomization":          "want KIND/NAME",
		"version -o name":                     "no objects with names",
		"version --no-headers":                "--no-headers does nothing here",
		"tree fleet all --no-headers":         "--no-headers does nothing here",
		"check --no-headers":                  "--no-headers does nothing here",
		"cluster upgrade --all":               "which image?",
		"wait ks --all --for=jsonpath={.a[}":  "--for: ",
		"delete ks":                           "want the name of exactly one",
	})
}

// TestExitCode_missing ends each command that names an object or a cluster with 4 if there is none.
func TestExitCode_missing(t *testing.T) {
	config := waitHub(t)
	endsWith(t, config, notFound, map[string]string{
		"get ks rign":                               "Did you mean ring?",
		"get ks --cluster=eats":                     `cluster "eats" does not exist. Did you mean east?`,
		"get ks ring --cluster=eats":                `cluster "eats" does not exist`,
		"get all --cluster=eats":                    `cluster "eats" does not exist`,
		"get sources --cluster=eats":                `cluster "eats" does not exist`,
		"get ks -w --cluster=eats":                  `cluster "eats" does not exist`,
		"describe ks rign":                          "Did you mean ring?",
		"describe ks app --cluster=eats":            `cluster "eats" does not exist`,
		"tree ks rign":                              "Did you mean ring?",
		"tree fleet al":                             "Did you mean all?",
		"explain ks rign":                           "Did you mean ring?",
		"explain --cluster=eats":                    `cluster "eats" does not exist`,
		"explain -n none":                           "has no objects",
		"events ks rign":                            "Did you mean ring?",
		"events --cluster=eats":                     `cluster "eats" does not exist`,
		"reconcile ks rign":                         "Did you mean ring?",
		"reconcile ks app --cluster=eats":           `cluster "eats" does not exist`,
		"suspend ks rign":                           "Did you mean ring?",
		"suspend ks --all --cluster=eats":           `cluster "eats" does not exist`,
		"suspend ks --all -n none":                  "there are no kustomizations in namespace none",
		"resume ks rign":                            "Did you mean ring?",
		"test rign":                                 "not found",
		"wait ks/rign":                              "Did you mean ring?",
		"wait ks/app --cluster=eats":                `cluster "eats" does not exist`,
		"delete ks rign --yes":                      "Did you mean ring?",
		"confirm cluster eats --yes":                "Did you mean east?",
		"confirm ks none --cluster=east --yes":      "not found",
		"logs eats":                                 "Did you mean east?",
		"trace ks/app --cluster=eats":               `cluster "eats" does not exist`,
		"trace ks/rign":                             "nothing that the hub knows manages",
		"release helmrelease web --cluster=east":    "not found",
		"rollback helmrelease web --cluster=east":   "not found",
		"history helmrelease web --cluster=east":    "not found",
		"history east --release=99":                 "has no bundle 99",
		"cluster upgrade eats --image=a/b:1.0.0":    "eats",
		"wait cluster/eats":                         "Did you mean east?",
		"debug hr web --show-status --cluster=east": "not found",
		"export ks rign":                            "Did you mean ring?",
		"stats --cluster=eats":                      `cluster "eats" does not exist`,
		"events --for=ks/rign":                      "Did you mean ring?",
		"events --for=Pod/x --cluster=eats":         `cluster "eats" does not exist`,
		"explain fleet al":                          "Did you mean all?",
		"suspend cluster eats":                      "Did you mean east?",
		"resume ks --all -n none":                   "there are no kustomizations in namespace none",
		"confirm ks app --cluster=eats --yes":       `cluster "eats" does not exist`,
		"history eats":                              "Did you mean east?",
		"history helmrelease web --cluster=eats":    `cluster "eats" does not exist`,
		"rollback eats":                             "Did you mean east?",
		"rollback --fleet=al":                       "Did you mean all?",
		"rollback helmrelease web --cluster=eats":   `cluster "eats" does not exist`,
		"release eats --yes":                        "Did you mean east?",
		"cluster get eats":                          "Did you mean east?",
		"cluster get eats -o yaml":                  "Did you mean east?",
		"cluster remove eats --yes":                 "Did you mean east?",
		"cluster rotate eats --yes":                 "Did you mean east?",
		"cluster label eats a=b":                    "Did you mean east?",
		"cluster set eats --var=a=b":                "Did you mean east?",
		"debug hr web --show-status --cluster=eats": `cluster "eats" does not exist`,
		"debug ks app --show-vars --cluster=eats":   `cluster "eats" does not exist`,
		"cluster add none --adopt":                  "nave get clusters lists all",
		"get hr web -A":                             "nave get helmreleases -A lists all",
	})
}

// TestGet_fluxNames knows the kinds by the names that flux and kubectl have for them.
func TestGet_fluxNames(t *testing.T) {
	config := waitHub(t)
	for _, name := range []string{"ks", "kustomization", "hr", "helmreleases", "gitrepo", "source git", "sources git",
		"helmrepo", "source helm", "hc", "source chart", "ocirepo", "source oci", "bucket", "buckets", "source bucket",
		"all", "sources", "source all", "sources all", "imgrepo", "image repository", "images", "images all",
		"gitrepositories.source.toolkit.fluxcd.io"} {
		out, code := exitOf(t.Context(), config, append([]string{"get", "-A"}, strings.Fields(name)...)...)
		if code != 0 || out == "" {
			t.Errorf("nave get %s: exit code %d: %s", name, code, out)
		}
	}
}
