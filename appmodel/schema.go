package appmodel

import (
	_ "embed" // for the schemas
	"slices"
)

// The schemas are written from the types and their comments by
// go test -run Schema -update; the same test keeps them true.
var (
	//go:embed schema/application.json
	applicationSchema []byte
	//go:embed schema/override.json
	overrideSchema []byte
	//go:embed schema/environment.json
	environmentSchema []byte
)

// Schema is the JSON Schema (2020-12) of an application, for editors and
// forms. It says what the types say; [Decode] says more. Lists carry
// x-kubernetes-list-type and x-kubernetes-list-map-keys.
func Schema() []byte { return slices.Clone(applicationSchema) }

// OverrideSchema is the JSON Schema of an override.
func OverrideSchema() []byte { return slices.Clone(overrideSchema) }

// EnvironmentSchema is the JSON Schema of an environment.
func EnvironmentSchema() []byte { return slices.Clone(environmentSchema) }
