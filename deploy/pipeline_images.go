package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/appspan-dev/appspan"
)

// ImagePush is the news that a registry has a new image.
type ImagePush struct {
	// Image is its name with a tag, a digest, or both.
	Image string
	// Digest, if it is known and not in Image, pins what was pushed:
	// "sha256:…".
	Digest string
}

// ImagePushed begins to bring a pushed image into the environments that follow
// it (see [Follow]) and that the subject may change; it returns the stages. The
// same news twice begins nothing twice. News that nobody follows begins nothing;
// when somebody does, and the subject may read such environments and change none of
// them, it is appspan.ErrDenied.
func (p *Pipeline) ImagePushed(ctx context.Context, push ImagePush) ([]Stage, error) {
	pushed, err := parseImage(push.Image)
	if err != nil {
		return nil, fmt.Errorf("pushed image: %w", err)
	}
	name := push.Image
	if push.Digest != "" && pushed.digest == "" {
		name += "@" + push.Digest
		if pushed, err = parseImage(name); err != nil {
			return nil, fmt.Errorf("pushed image: %w", err)
		}
	}
	if pushed.tag == "" && pushed.digest == "" {
		return nil, fmt.Errorf("pushed image: %w: %q has neither a tag nor a digest", appspan.ErrInvalid, push.Image)
	}
	var out []Stage
	denied := false
	for env, err := range p.environments.list(ctx, "") {
		if err != nil {
			return out, err
		}
		for _, f := range env.Follows {
			if !f.matches(pushed) {
				continue
			}
			s, err := p.follows(ctx, &env, f, name)
			if errors.Is(err, appspan.ErrDenied) || errors.Is(err, appspan.ErrNotFound) {
				denied = denied || p.environments.authorize(ctx, appspan.VerbRead, &env) == nil
				continue
			}
			if err != nil {
				return out, err
			}
			out = append(out, s)
		}
	}
	if len(out) == 0 && denied {
		return nil, fmt.Errorf("pushed image: %w: you may deploy it to none of the environments that follow it", appspan.ErrDenied)
	}
	return out, nil
}

// follows begins a stage for an image, unless the last one for it was of the
// same.
func (p *Pipeline) follows(ctx context.Context, env *Environment, f Follow, name string) (Stage, error) {
	if err := p.environments.authorize(ctx, appspan.VerbUpdate, env); err != nil {
		return Stage{}, err
	}
	all, err := p.ofEnvironment(ctx, env.ref())
	if err != nil {
		return Stage{}, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		s := &all[i].Stage
		if s.Kind != KindImage || s.Component != f.Component || !sameRepository(s.Image, name) {
			continue
		}
		if s.Image == name && (s.State == StageDone || !s.State.Over()) {
			return *s, nil
		}
		break
	}
	return p.start(ctx, env, Stage{Kind: KindImage, Image: name, Component: f.Component}, &stageIntent{})
}
