// Package trust decides whether the bytes a hub sent are a Bundle that this spoke may carry out.
package trust
