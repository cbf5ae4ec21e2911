package rig

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// FailAnnotation in a pod template makes its pods fail in the way that its value names: ImagePullBackOff,
// CreateContainerConfigError, CrashLoopBackOff, OOMKilled, Unready (runs, but its readiness probe fails) or Error (ends
// with exit code 1; where the policy is to restart it, that is CrashLoopBackOff). A pod with an image whose registry
// ends in .invalid has ImagePullBackOff without being told so.
const FailAnnotation = "rig.appspan.dev/fail"

// The stages that would make a pod well must leave those alone that are to fail.
const (
	failKey    = `.metadata.annotations["` + FailAnnotation + `"]`
	invalidKey = `.spec.containers[].image | select(test("^[^/]+[.]invalid(:[0-9]+)?/"))`
)

//go:embed fail.tmpl
var failStatus string // template of the status of a pod that fails

// A rule is an expression over an object, as kwok's Stages have them.
type rule map[string]any

func in(key string, values ...string) rule {
	return rule{"key": key, "operator": "In", "values": values}
}
func notIn(key string, values ...string) rule {
	return rule{"key": key, "operator": "NotIn", "values": values}
}
func present(key string) rule { return rule{"key": key, "operator": "Exists"} }
func absent(key string) rule  { return rule{"key": key, "operator": "DoesNotExist"} }

// writeStages writes the rules by which kwok plays the kubelet into dir: its own, and those for pods that fail.
func writeStages(own, dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(own, "*.yaml"))
	if err != nil || len(files) == 0 {
		return "", errors.Join(fmt.Errorf("no stages in %s: remove the directory above it and build again", own), err)
	}
	documents, err := failing()
	if err != nil {
		return "", err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if name := filepath.Base(file); name == "pod-ready.yaml" || name == "pod-complete.yaml" {
			if data, err = exceptFailing(data); err != nil {
				return "", fmt.Errorf("%s: %w", file, err)
			}
		}
		documents = append(documents, data)
	}
	path := filepath.Join(dir, "stages.yaml")
	return path, os.WriteFile(path, bytes.Join(documents, []byte("\n---\n")), 0o644)
}

// failing returns the stages of pods that fail. They differ in whom they select and in the event that goes with it.
func failing() ([][]byte, error) {
	var documents [][]byte
	for _, s := range []struct {
		name            string
		selects         []rule
		reason, message string
	}{
		{"pod-fail-registry", []rule{absent(failKey), present(invalidKey)}, "Failed", "Error: ImagePullBackOff"},
		{"pod-fail-image", []rule{in(failKey, "ImagePullBackOff")}, "Failed", "Error: ImagePullBackOff"},
		{"pod-fail-config", []rule{in(failKey, "CreateContainerConfigError")}, "Failed", "Error: configuration refers to what does not exist"},
		{"pod-fail-crash", []rule{in(failKey, "CrashLoopBackOff", "OOMKilled")}, "BackOff", "Back-off restarting failed container"},
		{"pod-fail-exit", []rule{in(failKey, "Error")}, "Failed", "Error: exit code 1"},
		{"pod-fail-unready", []rule{in(failKey, "Unready")}, "Unhealthy", "Readiness probe failed: connection refused"},
	} {
		data, err := yaml.Marshal(map[string]any{
			"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": map[string]any{"name": s.name},
			"spec": map[string]any{
				"resourceRef": map[string]any{"apiGroup": "v1", "kind": "Pod"},
				"selector": map[string]any{"matchExpressions": append(s.selects,
					absent(".metadata.deletionTimestamp"),
					notIn(".status.phase", "Failed", "Succeeded"),
					notIn(`.status.conditions[]? | select(.type == "Ready") | .reason`, "ContainersNotReady", "PodFailed"),
				)},
				"next": map[string]any{
					"event":          map[string]any{"type": "Warning", "reason": s.reason, "message": s.message},
					"statusTemplate": failStatus,
				},
			},
		})
		if err != nil {
			return nil, err
		}
		documents = append(documents, data)
	}
	return documents, nil
}

func exceptFailing(stage []byte) ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(stage, &doc); err != nil {
		return nil, err
	}
	spec, _ := doc["spec"].(map[string]any)
	selector, _ := spec["selector"].(map[string]any)
	rules, ok := selector["matchExpressions"].([]any)
	if !ok {
		return nil, errors.New("not the Stage that was expected: spec.selector.matchExpressions is missing")
	}
	selector["matchExpressions"] = append(rules, absent(failKey), absent(invalidKey))
	return yaml.Marshal(doc)
}
