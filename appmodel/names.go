package appmodel

import (
	"crypto/sha256"
	"encoding/hex"
)

// maxObjectName leaves room for the suffixes of Kubernetes within 63
// characters.
const maxObjectName = 52

// ObjectName is what the objects of a component, route, volume or group of an
// application are called: application-id, past 52 characters the first 43, a
// hyphen and 8 hex digits of the SHA-256 of the whole.
func ObjectName(application, id string) string {
	name := application + "-" + id
	if len(name) <= maxObjectName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:43] + "-" + hex.EncodeToString(sum[:4])
}
