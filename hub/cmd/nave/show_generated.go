package main

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// withGenerated returns objects with the recipes of values that the cluster makes in the place of the placeholders. If
// there are no recipes, the objects stay as they are.
func withGenerated(objects []*manifest.Object, recipes []bundle.Recipe) []*manifest.Object {
	if len(recipes) == 0 {
		return objects
	}
	shown := make([]*manifest.Object, len(objects))
	for i, o := range objects {
		shown[i] = o.DeepCopy()
		showNamed(shown[i], generatedNames(recipes))
	}
	return shown
}

// recipesOf returns the recipes of an Application.
func recipesOf(app *bundle.Application) []bundle.Recipe {
	if app == nil || app.Release == nil {
		return nil
	}
	return app.Release.Recipes
}

// renderedRecipes returns the recipes of a render.
func renderedRecipes(release *render.Release) (recipes []bundle.Recipe) {
	for _, r := range release.Recipes {
		recipes = append(recipes, r.Recipe)
	}
	return recipes
}

// generatedNames returns the placeholders of recipes, each followed by what is shown for it.
func generatedNames(recipes []bundle.Recipe) (pairs []string) {
	for _, r := range recipes {
		pairs = append(pairs, r.Placeholder, fmt.Sprintf("<generated: %s>", r))
		if r.Key != "" {
			pairs = append(pairs, r.Key, fmt.Sprintf("<generated: %s, key>", r))
		}
	}
	return pairs
}

// showNamed replaces texts in an object by others, in pairs. In the data of a Secret and in fields caBundle, base64
// around such a text is decoded.
func showNamed(o *manifest.Object, pairs []string) {
	if o == nil || len(pairs) == 0 {
		return
	}
	names := strings.NewReplacer(pairs...)
	isSecret := manifest.IDOf(o) == manifest.ID{Kind: "Secret", Namespace: o.GetNamespace(), Name: o.GetName()}
	mapStrings(o.Object, func(path, text string) string {
		if isSecret && strings.HasPrefix(path, "data.") || sealed.IsBase64(path[strings.LastIndex(path, ".")+1:]) {
			if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
				if shown := names.Replace(string(plain)); shown != string(plain) {
					return shown
				}
			}
		}
		return names.Replace(text)
	})
}
