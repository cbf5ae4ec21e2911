package status

import (
	"encoding/json"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// The types of this file are the fields of Kubernetes objects that a status
// depends on, and no others: that makes decoding cheap.

type ownerRef struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

type meta struct {
	Generation  int64             `json:"generation"`
	Created     time.Time         `json:"creationTimestamp"`
	Owners      []ownerRef        `json:"ownerReferences"`
	Annotations map[string]string `json:"annotations"`
}

// controller is the owner that manages the object.
func (m meta) controller() ownerRef {
	for _, o := range m.Owners {
		if o.Controller {
			return o
		}
	}
	return ownerRef{}
}

// metaOnly is an object of which the metadata alone is needed.
type metaOnly struct {
	Metadata meta `json:"metadata"`
}

type condition struct {
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Since   time.Time `json:"lastTransitionTime"`
}

type conditions []condition

func (cs conditions) get(kind string) condition {
	for _, c := range cs {
		if c.Type == kind {
			return c
		}
	}
	return condition{}
}

// workload is the union of what the kinds of workloads say.
type workload struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Replicas       *int   `json:"replicas"`
		Suspend        bool   `json:"suspend"`
		Paused         bool   `json:"paused"`
		Completions    *int   `json:"completions"`
		Parallelism    *int   `json:"parallelism"`
		Type           string `json:"type"` // of a Service
		UpdateStrategy struct {
			Type          string `json:"type"`
			RollingUpdate struct {
				Partition int `json:"partition"`
			} `json:"rollingUpdate"`
		} `json:"updateStrategy"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64      `json:"observedGeneration"`
		Conditions         conditions `json:"conditions"`
		Replicas           int        `json:"replicas"`
		UpdatedReplicas    int        `json:"updatedReplicas"`
		ReadyReplicas      int        `json:"readyReplicas"`
		AvailableReplicas  *int       `json:"availableReplicas"`
		UpdateRevision     string     `json:"updateRevision"`

		DesiredScheduled int `json:"desiredNumberScheduled"`
		CurrentScheduled int `json:"currentNumberScheduled"`
		UpdatedScheduled int `json:"updatedNumberScheduled"`
		NumberReady      int `json:"numberReady"`
		NumberAvailable  int `json:"numberAvailable"`

		Active    int `json:"active"`
		Succeeded int `json:"succeeded"`

		Phase        string `json:"phase"` // of a claim
		LoadBalancer struct {
			Ingress []struct{} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *struct {
		Reason     string    `json:"reason"`
		Message    string    `json:"message"`
		ExitCode   int       `json:"exitCode"`
		FinishedAt time.Time `json:"finishedAt"`
	} `json:"terminated"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	Image        string         `json:"image"`
	Ready        bool           `json:"ready"`
	RestartCount int            `json:"restartCount"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
}

type pod struct {
	object   driver.Object
	Metadata meta `json:"metadata"`
	Spec     struct {
		Volumes []struct {
			Claim *struct {
				Name string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
		} `json:"volumes"`
	} `json:"spec"`
	Status struct {
		Phase      string            `json:"phase"`
		Reason     string            `json:"reason"`
		Message    string            `json:"message"`
		Conditions conditions        `json:"conditions"`
		Init       []containerStatus `json:"initContainerStatuses"`
		Containers []containerStatus `json:"containerStatuses"`
	} `json:"status"`
}

type event struct {
	Involved struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
		UID  string `json:"uid"`
	} `json:"involvedObject"`
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Last    time.Time `json:"lastTimestamp"`
	Time    time.Time `json:"eventTime"`
}

type slice struct {
	Endpoints []struct {
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

func decode[T any](obj driver.Object) (T, bool) {
	var out T
	err := json.Unmarshal(obj.JSON, &out)
	return out, err == nil
}

func orOne(n *int) int {
	if n == nil {
		return 1
	}
	return *n
}
