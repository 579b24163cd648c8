package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"p2ping/api/client"
)

// answerTime bounds how long a node may take to answer what it knows without
// looking it up: one that hangs takes connections, and answers nothing.
const answerTime = 5 * time.Second

// retry calls try, at once and then as often as given, until it says that it is
// done or the time to wait is over, and tells it how much of that is left. It
// returns an error only when ctx ends.
func retry(ctx context.Context, wait, often time.Duration, try func(left time.Duration) (done bool)) error {
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		left := time.Until(deadline)
		if try(left) {
			return nil
		}
		// A try may take longer than both: a select would choose by chance.
		left = time.Until(deadline)
		if left <= 0 {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(left):
			return nil
		case <-tick.C:
		}
	}
}

// askWithin calls ask. When no answer comes in time, the error wraps
// [client.ErrSilent].
func askWithin[T any](ctx context.Context, d time.Duration, ask func(context.Context) (T, error)) (T, error) {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	answer, err := ask(within)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, client.ErrUnreachable) {
		err = fmt.Errorf("%w: it has said nothing for %v", client.ErrSilent, d.Round(time.Millisecond))
	}
	return answer, err
}
