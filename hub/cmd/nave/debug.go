package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/sealed"
)

const debugValuesLong = `Print the values that a HelmRelease gives to its chart: those of spec.valuesFrom in their
order, and spec.values over them, merged as the hub merges them. Values of Secrets are printed as ***.

FILE has the HelmRelease, and perhaps other objects; - is standard input. The ConfigMaps and Secrets that
spec.valuesFrom names are those of FILE and of --values-from. No cluster and no hub is asked.

If all values of a Secret are one encrypted text, its keys are not known: a note on standard error names it, and the
values are left out. nave diff, and nave build cluster if it asks the hub, know the keys that clusters told.`

func newDebugCommand(s *session) *cobra.Command {
	return group("debug", "Show what leads to a result", newDebugValuesCommand(s),
		newDebugObjectCommand(s, debuggedRelease), newDebugObjectCommand(s, debuggedKustomization))
}

func newDebugValuesCommand(s *session) *cobra.Command {
	b := &chartBuild{session: s}
	cmd := &cobra.Command{
		Use:     "values FILE",
		Short:   "Print the merged values of a HelmRelease in a file, without those of Secrets",
		Long:    debugValuesLong,
		Example: "  nave debug values clusters/production/podinfo.yaml --values-from values",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.printValues(cmd, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&b.name, "name", "", "name of the HelmRelease, when FILE has several")
	flags.StringVarP(&b.namespace, "namespace", "n", "", "namespace of the HelmRelease, when FILE has several of the name")
	flags.StringSliceVar(&b.from, "values-from", nil, "files or folders with ConfigMaps and Secrets of spec.valuesFrom")
	return without(cmd, "cluster", "config", "context", "timeout")
}

// printValues prints the merged values of the HelmRelease in a file.
func (b *chartBuild) printValues(cmd *cobra.Command, file string) error {
	objects, err := b.objects(cmd.InOrStdin(), file)
	if err != nil {
		return err
	}
	found, err := b.choose(objects, file)
	if err != nil {
		return err
	}
	if found.GetNamespace() == "" {
		found.SetNamespace(api.DefaultNamespace)
	}
	release, err := api.NewChartRelease(found)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	build := release.Build
	if err := setData(&build, objects); err != nil {
		return fmt.Errorf("%s: %w", api.KeyOf(found), err)
	}
	return printMerged(cmd, api.KeyOf(found), &build)
}

// printMerged prints the values of a build, whose data are set, without those of Secrets.
func printMerged(cmd *cobra.Command, key api.Key, build *api.ChartBuild) error {
	for i := range build.ValuesFrom {
		v := &build.ValuesFrom[i]
		if isOneText(v) {
			noteTo(cmd)(fmt.Sprintf("%s: the keys of %s, key %s, are not known: all values are one encrypted text, and are "+
				"left out", v.Field, v.Input, v.Key))
			none := ""
			v.Data = &none
			continue
		}
		if err := mask(v); err != nil {
			return err
		}
	}
	values, err := helm.ValuesOf(build)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	mapStrings(values, func(_, text string) string {
		if len(sealed.Find(text)) > 0 {
			return reporting.Mask
		}
		return text
	})
	text, err := yamlText(values)
	if err == nil {
		_, err = io.WriteString(cmd.OutOrStdout(), text)
	}
	return err
}

// isOneText reports whether one encrypted text has all values.
func isOneText(v *api.ChartValues) bool {
	return v.TargetPath == "" && v.Data != nil && sealed.Placeholder(strings.TrimSpace(*v.Data)).Valid()
}

// mask replaces the values of a Secret. Names of values, and lists, stay.
func mask(v *api.ChartValues) error {
	if !v.IsSecret() || v.Data == nil {
		return nil
	}
	masked := reporting.Mask
	if v.TargetPath == "" {
		values, err := helm.ParseValues([]byte(*v.Data))
		if err != nil {
			return fmt.Errorf("%s: %s, key %s: no YAML with values", v.Field, v.Input, v.Key) // the error may quote it
		}
		if masked, err = yamlText(maskAll(values)); err != nil {
			return err
		}
	} else {
		v.Literal = true // the mask is text
	}
	v.Data = &masked
	return nil
}

func maskAll(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = maskAll(value)
		}
		return v
	case []any:
		for i, item := range v {
			v[i] = maskAll(item)
		}
		return v
	}
	return reporting.Mask
}
