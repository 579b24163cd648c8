package main

import (
	"context"
	"errors"
)

func newProfiled(context.Context, roleConfig) (*role, error) { return nil, errors.New("todo") }

func (b *bench) profileAll(context.Context) error { return errors.New("todo") }
