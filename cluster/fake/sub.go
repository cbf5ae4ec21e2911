package fake

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// GetSub implements driver.Subresourcer for status and scale.
func (cl client) GetSub(ctx context.Context, ref driver.Ref, sub string) (json.RawMessage, error) {
	return cl.sub(ctx, ref, sub, "get", "", func(q request) (json.RawMessage, error) { return cl.c.getSub(q) })
}

// UpdateSub implements driver.Subresourcer for status and scale. What changes
// is owned by the manager "appspan".
func (cl client) UpdateSub(ctx context.Context, ref driver.Ref, sub string, patch json.RawMessage) (json.RawMessage, error) {
	return cl.sub(ctx, ref, sub, "patch", "appspan", func(q request) (json.RawMessage, error) {
		return cl.c.patchSub(ctx, q, types.MergePatchType, patch, "Strict")
	})
}

// CreateSub implements driver.Subresourcer for the eviction of pods and the
// token of service accounts.
func (cl client) CreateSub(ctx context.Context, ref driver.Ref, sub string, body json.RawMessage) (json.RawMessage, error) {
	return cl.sub(ctx, ref, sub, "create", "", func(q request) (json.RawMessage, error) { return cl.c.createSub(ctx, q, body) })
}

func (cl client) sub(ctx context.Context, ref driver.Ref, sub, verb, manager string, run func(request) (json.RawMessage, error)) (data json.RawMessage, err error) {
	k, err := cl.find(ref.APIVersion, ref.Kind)
	if err != nil {
		return nil, err
	}
	at, err := place(k, ref)
	if err != nil {
		return nil, err
	}
	done, err := cl.begin(ctx, access{verb: verb, kind: k, key: at, sub: sub, manager: manager})
	if err != nil {
		return nil, err
	}
	defer done(&err)
	return run(request{kind: k, key: at, sub: sub, manager: manager, user: cl.id})
}

// getSub reads a subresource.
func (c *Cluster) getSub(q request) (json.RawMessage, error) {
	if !q.kind.has(q.sub) {
		return nil, noSubresource(q.kind, q.sub)
	}
	r := c.store.get(q.kind, q.key)
	if r == nil {
		return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
	}
	if q.sub == "scale" {
		return mustJSON(scaleOf(r.obj)), nil
	}
	return r.json(driver.Whole), nil
}

// has reports whether the kind has a subresource that can be read and written.
func (k *kind) has(sub string) bool { return sub == "status" && k.status || sub == "scale" && k.scale }

// patchSub changes status or scale by a patch.
func (c *Cluster) patchSub(ctx context.Context, q request, kind types.PatchType, patch []byte, strict strictness) (json.RawMessage, error) {
	if !q.kind.has(q.sub) {
		return nil, noSubresource(q.kind, q.sub)
	}
	if q.sub == "status" {
		r, err := c.patch(ctx, q, kind, patch, strict)
		if err != nil {
			return nil, err
		}
		return r.json(driver.Whole), nil
	}
	r := c.store.get(q.kind, q.key)
	if r == nil {
		return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
	}
	scale := scaleOf(r.obj)
	scale.ResourceVersion = "" // a patch that names none goes onto whatever is there
	patched, err := patchJSON(kind, mustJSON(scale), patch, &autoscalingv1.Scale{})
	if err != nil {
		return nil, err
	}
	return c.putScale(q, patched)
}

// putScale writes a Scale.
func (c *Cluster) putScale(q request, data []byte) (json.RawMessage, error) {
	var s autoscalingv1.Scale
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	q.uid, q.revision = string(s.UID), s.ResourceVersion
	r, err := c.setReplicas(q, s.Spec.Replicas)
	if err != nil {
		return nil, err
	}
	return mustJSON(scaleOf(r.obj)), nil
}

// createSub posts to a subresource.
func (c *Cluster) createSub(ctx context.Context, q request, body []byte) (json.RawMessage, error) {
	r := c.store.get(q.kind, q.key)
	switch {
	case q.kind.is("Pod") && q.sub == "eviction":
		if r == nil {
			return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
		}
		return c.evict(ctx, q, r.obj.(*corev1.Pod), body)
	case q.kind.is("ServiceAccount") && q.sub == "token":
		if r == nil {
			return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
		}
		return c.issueToken(r.obj, body)
	}
	return nil, noSubresource(q.kind, q.sub)
}

// evict deletes a pod unless a disruption budget forbids it.
func (c *Cluster) evict(ctx context.Context, q request, p *corev1.Pod, body []byte) (json.RawMessage, error) {
	var eviction policyv1.Eviction
	if len(body) > 0 {
		if err := json.Unmarshal(body, &eviction); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	if !terminated(p) && p.DeletionTimestamp == nil {
		budgets, _ := c.store.list(c.kinds.find("policy/v1", "PodDisruptionBudget"), p.Namespace)
		for _, r := range budgets {
			b := r.obj.(*policyv1.PodDisruptionBudget)
			selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(p.Labels)) || !podReady(p) || b.Status.DisruptionsAllowed > 0 {
				continue
			}
			err = apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
			status := err.(*apierrors.StatusError)
			status.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: fmt.Sprintf(
				"The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)}}
			return nil, status
		}
	}
	opts := metav1.DeleteOptions{}
	if eviction.DeleteOptions != nil {
		opts = *eviction.DeleteOptions
	}
	q.sub = ""
	q.dryRun = q.dryRun || len(opts.DryRun) > 0
	if _, err := c.remove(ctx, q, opts); err != nil {
		return nil, err
	}
	return mustJSON(success(201)), nil
}

func success(code int32) metav1.Status {
	return metav1.Status{TypeMeta: typeMeta("v1", "Status"), Status: metav1.StatusSuccess, Code: code}
}

// tokenPrefix marks the tokens that this package issues. They prove nothing.
const tokenPrefix = "fake-token."

// issueToken answers a TokenRequest. The token is accepted by the handler.
func (c *Cluster) issueToken(account object, body []byte) (json.RawMessage, error) {
	var tr authenticationv1.TokenRequest
	if len(body) > 0 {
		if err := json.Unmarshal(body, &tr); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	unsetPtr(&tr.Spec.ExpirationSeconds, int64(3600))
	expires := time.Now().Add(seconds(*tr.Spec.ExpirationSeconds))
	user := "system:serviceaccount:" + account.GetNamespace() + ":" + account.GetName()
	tr.TypeMeta = typeMeta("authentication.k8s.io/v1", "TokenRequest")
	tr.ObjectMeta = metav1.ObjectMeta{Name: account.GetName(), Namespace: account.GetNamespace(), CreationTimestamp: now()}
	tr.Status = authenticationv1.TokenRequestStatus{
		Token:               tokenPrefix + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %s %d", user, account.GetUID(), expires.Unix())),
		ExpirationTimestamp: metav1.NewTime(expires).Rfc3339Copy(),
	}
	return mustJSON(tr), nil
}

// tokenIdentity is who an issued token stands for, nil when it is not one,
// has expired, or its account is gone.
func (c *Cluster) tokenIdentity(token string) *driver.Identity {
	encoded, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return nil
	}
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	var user, uid string
	var expires int64
	if _, err := fmt.Sscanf(string(data), "%s %s %d", &user, &uid, &expires); err != nil || time.Now().Unix() >= expires {
		return nil
	}
	if r := c.store.withUID(types.UID(uid)); r == nil || !r.kind.is("ServiceAccount") {
		return nil
	}
	namespace := strings.Split(user, ":")[2]
	return &driver.Identity{User: user, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}}
}
