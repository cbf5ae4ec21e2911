package fake

import (
	"fmt"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateService(spec *field.Path, o *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	s := &o.Spec
	ports := spec.Child("ports")
	switch s.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if len(s.Ports) == 0 && s.ClusterIP != corev1.ClusterIPNone {
			errs = append(errs, field.Required(ports, ""))
		}
	case corev1.ServiceTypeExternalName:
		if s.ExternalName == "" {
			errs = append(errs, field.Required(spec.Child("externalName"), ""))
		} else {
			for _, msg := range validation.IsDNS1123Subdomain(strings.TrimSuffix(s.ExternalName, ".")) {
				errs = append(errs, field.Invalid(spec.Child("externalName"), s.ExternalName, msg))
			}
		}
	default:
		errs = append(errs, field.NotSupported(spec.Child("type"), s.Type, []corev1.ServiceType{"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}))
	}
	if s.ClusterIP == corev1.ClusterIPNone && s.Type != corev1.ServiceTypeClusterIP {
		errs = append(errs, field.Invalid(spec.Child("clusterIPs").Index(0), s.ClusterIP, fmt.Sprintf("may not be set to 'None' for %s services", s.Type)))
	}
	names := sets.New[string]()
	type numbered struct {
		port     int32
		protocol corev1.Protocol
	}
	seen := map[numbered]bool{}
	for i, p := range s.Ports {
		at := ports.Index(i)
		if p.Name == "" && len(s.Ports) > 1 {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else if p.Name != "" {
			for _, msg := range validation.IsDNS1123Label(p.Name) {
				errs = append(errs, field.Invalid(at.Child("name"), p.Name, msg))
			}
			if names.Has(p.Name) {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
			names.Insert(p.Name)
		}
		for _, msg := range validation.IsValidPortNum(int(p.Port)) {
			errs = append(errs, field.Invalid(at.Child("port"), p.Port, msg))
		}
		errs = append(errs, protocol(at.Child("protocol"), p.Protocol)...)
		if p.TargetPort.Type == intstr.Int {
			for _, msg := range validation.IsValidPortNum(p.TargetPort.IntValue()) {
				errs = append(errs, field.Invalid(at.Child("targetPort"), p.TargetPort, msg))
			}
		} else {
			for _, msg := range validation.IsValidPortName(p.TargetPort.StrVal) {
				errs = append(errs, field.Invalid(at.Child("targetPort"), p.TargetPort, msg))
			}
		}
		if p.NodePort != 0 && (p.NodePort < firstNodePort || p.NodePort > lastNodePort) {
			errs = append(errs, field.Invalid(at.Child("nodePort"), p.NodePort, fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", firstNodePort, lastNodePort)))
		}
		if p.NodePort != 0 && s.Type == corev1.ServiceTypeClusterIP {
			errs = append(errs, field.Forbidden(at.Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
		}
		n := numbered{p.Port, p.Protocol}
		if seen[n] {
			errs = append(errs, field.Duplicate(at, n))
		}
		seen[n] = true
	}
	return errs
}

func validateIngress(spec *field.Path, o *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	if len(o.Spec.Rules) == 0 && o.Spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(spec, o.Spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if o.Spec.DefaultBackend != nil {
		errs = append(errs, validateBackend(spec.Child("defaultBackend"), o.Spec.DefaultBackend)...)
	}
	for i, rule := range o.Spec.Rules {
		at := spec.Child("rules").Index(i)
		if host := rule.Host; host != "" {
			if net.ParseIP(host) != nil {
				errs = append(errs, field.Invalid(at.Child("host"), host, "must be a DNS name, not an IP address"))
			}
			check := validation.IsDNS1123Subdomain
			if strings.HasPrefix(host, "*") {
				check = validation.IsWildcardDNS1123Subdomain
			}
			for _, msg := range check(host) {
				errs = append(errs, field.Invalid(at.Child("host"), host, msg))
			}
		}
		if rule.HTTP == nil {
			continue
		}
		if len(rule.HTTP.Paths) == 0 {
			errs = append(errs, field.Required(at.Child("http", "paths"), ""))
		}
		for j, p := range rule.HTTP.Paths {
			at := at.Child("http", "paths").Index(j)
			switch {
			case p.PathType == nil:
				errs = append(errs, field.Required(at.Child("pathType"), "pathType must be specified"))
				continue
			case *p.PathType == networkingv1.PathTypeExact, *p.PathType == networkingv1.PathTypePrefix:
				if !strings.HasPrefix(p.Path, "/") {
					errs = append(errs, field.Invalid(at.Child("path"), p.Path, "must be an absolute path"))
				}
			case *p.PathType == networkingv1.PathTypeImplementationSpecific:
				if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
					errs = append(errs, field.Invalid(at.Child("path"), p.Path, "must be an absolute path"))
				}
			default:
				errs = append(errs, field.NotSupported(at.Child("pathType"), *p.PathType, []networkingv1.PathType{"Exact", "ImplementationSpecific", "Prefix"}))
			}
			errs = append(errs, validateBackend(at.Child("backend"), &p.Backend)...)
		}
	}
	return errs
}

func validateBackend(at *field.Path, b *networkingv1.IngressBackend) field.ErrorList {
	if b.Resource != nil {
		return nil
	}
	if b.Service == nil {
		return field.ErrorList{field.Required(at, "resource or service backend is required")}
	}
	if b.Service.Name == "" {
		return field.ErrorList{field.Required(at.Child("service", "name"), "")}
	}
	if b.Service.Port.Name == "" && b.Service.Port.Number == 0 {
		return field.ErrorList{field.Required(at, "port name or number is required")}
	}
	return nil
}
