package dockerexec

import (
	"context"
	"errors"
	"slices"

	"github.com/docker/docker/client"
)

// Missing returns those images of the languages of cfg.Warm that the engine does not
// have, each once. It is a quick look: it asks no registry and does not say whether
// tasks can run. Its error says in one sentence why nothing is known of the images, or
// which language can have no container. ErrInvalid: cfg.AllowedImages has a pattern
// that is none.
func Missing(ctx context.Context, cli client.APIClient, cfg Config) ([]string, error) {
	if err := checkAllowList(cfg.AllowedImages); err != nil {
		return nil, err
	}
	x := &examination{cli: cli, cfg: cfg}
	if f := checkContact(ctx, x); f.Verdict == Failure {
		return nil, errors.New(f.Detail)
	}
	images := newImages(cli, cfg, goArch(x.info.Architecture))
	defer images.close()
	var missing []string
	for _, l := range cfg.Warm {
		ok, err := has(ctx, images, l)
		switch {
		case err != nil:
			// Without the cause: it is about one language, and not about cfg.
			return nil, errors.New(problem("the language "+l.Name, err))
		case !ok && !slices.Contains(missing, l.Image):
			missing = append(missing, l.Image)
		}
	}
	return missing, nil
}
