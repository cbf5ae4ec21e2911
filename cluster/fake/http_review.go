package fake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// reviewVersions are the groups whose kinds are only asked, never stored.
func reviewVersions() []schema.GroupVersion {
	return []schema.GroupVersion{authenticationv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion}
}

func reviewKinds(gv schema.GroupVersion) []string {
	switch gv {
	case authenticationv1.SchemeGroupVersion:
		return []string{"SelfSubjectReview"}
	case authorizationv1.SchemeGroupVersion:
		return []string{"LocalSubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"}
	}
	return nil
}

// review reports whether a path asks a question.
func review(gv schema.GroupVersion, path []string) bool {
	return slices.ContainsFunc(reviewKinds(gv), func(kind string) bool { return strings.ToLower(kind)+"s" == path[len(path)-1] })
}

// review answers a question about who may do what.
func (x *exchange) review(resource string) error {
	if x.r.Method != http.MethodPost {
		return methodNotAllowed()
	}
	data, err := x.body()
	if err != nil {
		return err
	}
	ask := func(v any) error {
		if err := json.Unmarshal(data, v); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		return nil
	}
	id := x.client.id
	var answer any
	switch resource {
	case "selfsubjectreviews":
		var r authenticationv1.SelfSubjectReview
		if err := ask(&r); err != nil {
			return err
		}
		r.Status.UserInfo = authenticationv1.UserInfo{Username: "kubernetes-admin", Groups: []string{"system:masters", "system:authenticated"}}
		if id != nil {
			r.Status.UserInfo = authenticationv1.UserInfo{Username: id.User, Groups: id.Groups}
		}
		answer = &r
	case "selfsubjectaccessreviews":
		var r authorizationv1.SelfSubjectAccessReview
		if err := ask(&r); err != nil {
			return err
		}
		r.Status = x.c.judge(id, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		answer = &r
	case "subjectaccessreviews":
		var r authorizationv1.SubjectAccessReview
		if err := ask(&r); err != nil {
			return err
		}
		r.Status = x.c.judge(&driver.Identity{User: r.Spec.User, Groups: r.Spec.Groups}, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		answer = &r
	case "localsubjectaccessreviews":
		var r authorizationv1.LocalSubjectAccessReview
		if err := ask(&r); err != nil {
			return err
		}
		r.Status = x.c.judge(&driver.Identity{User: r.Spec.User, Groups: r.Spec.Groups}, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		answer = &r
	case "selfsubjectrulesreviews":
		var r authorizationv1.SelfSubjectRulesReview
		if err := ask(&r); err != nil {
			return err
		}
		r.Status = x.c.ruleStatus(id, r.Spec.Namespace)
		answer = &r
	}
	x.write(http.StatusCreated, mustJSON(answer))
	return nil
}

func (c *Cluster) judge(id *driver.Identity, res *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	var at attributes
	switch {
	case res != nil:
		at = attributes{verb: res.Verb, group: res.Group, resource: res.Resource, namespace: res.Namespace, name: res.Name}
		if res.Subresource != "" {
			at.resource += "/" + res.Subresource
		}
	case path != nil:
		at = attributes{verb: path.Verb, path: path.Path}
	}
	return authorizationv1.SubjectAccessReviewStatus{Allowed: id == nil || c.allowed(id, at)}
}

func (c *Cluster) ruleStatus(id *driver.Identity, namespace string) authorizationv1.SubjectRulesReviewStatus {
	if id == nil {
		id = &driver.Identity{User: "kubernetes-admin", Groups: []string{"system:masters"}}
	}
	status := authorizationv1.SubjectRulesReviewStatus{ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	for _, r := range c.rules(id, namespace) {
		if len(r.NonResourceURLs) > 0 {
			status.NonResourceRules = append(status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
			continue
		}
		status.ResourceRules = append(status.ResourceRules, authorizationv1.ResourceRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames})
	}
	return status
}
