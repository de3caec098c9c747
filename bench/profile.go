package main

import (
	"bytes"
	"errors"
	"os"
	"runtime/pprof"

	"github.com/google/pprof/profile"
)

// profiled does something and keeps what takes the time in it, where that is wanted.
func (o *options) profiled(do func() error) error {
	if o.profile == "" && o.flame == "" {
		return do()
	}
	var data bytes.Buffer
	if err := pprof.StartCPUProfile(&data); err != nil {
		return err
	}
	err := do()
	pprof.StopCPUProfile()
	return errors.Join(err, o.keep(data.Bytes()))
}

// keep writes a profile, and its picture.
func (o *options) keep(data []byte) error {
	if o.profile != "" {
		if err := write(o.profile, data); err != nil {
			return err
		}
	}
	if o.flame == "" {
		return nil
	}
	p, err := profile.ParseData(data)
	if err != nil {
		return err
	}
	root, err := flameOf(p, "ours")
	if err != nil {
		return err
	}
	return write(o.flame, root.picture())
}

func write(file string, data []byte) error {
	return os.WriteFile(file, data, 0o644) //nolint:gosec // it is the user's to name, and to be shown
}
