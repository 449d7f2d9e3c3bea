// Package expression parses and evaluates the CEL expressions (https://cel.dev) of Flux's Kustomizations: of
// spec.healthCheckExprs and of spec.dependsOn.
//
// Expressions have the functions that Flux gives them: the standard library, optional values, and cel-go's extensions
// for strings, sets and base64. They are parsed and not type-checked, as in Flux, because custom resources may have any
// fields. Parse still refuses functions that do not exist, and wrong numbers of arguments.
//
// Expressions and objects come from tenants, so an evaluation is limited: by the length of the text, the size of the
// objects, and the cost of the steps. A call whose cost alone exceeds the limit fails before it works. Functions that
// make large texts out of small ones are refused by Parse (join, replace, format, json.encode), and so are chains of
// macros that make lists, optional elements, and objects of protobuf types: none has a use for a decision.
//
// Objects may hold secrets, so an error tells the place in the expression and the kind of the error, and quotes only
// the expression.
package expression
