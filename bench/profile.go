package main

import (
	"bytes"
	"errors"
	"os"
	"runtime/pprof"

	"github.com/google/pprof/profile"
)

// withProfile calls measure. If the flags ask for it, it profiles the call and writes the
// profile and the flame graph.
func (o *options) withProfile(measure func() error) error {
	if o.profile == "" && o.flame == "" {
		return measure()
	}
	var data bytes.Buffer
	if err := pprof.StartCPUProfile(&data); err != nil {
		return err
	}
	err := measure()
	pprof.StopCPUProfile()
	return errors.Join(err, o.saveProfile(data.Bytes()))
}

// saveProfile writes a profile and its flame graph to the files of the flags.
func (o *options) saveProfile(data []byte) error {
	if o.profile != "" {
		if err := writeFile(o.profile, data); err != nil {
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
	root, err := newFlameGraph(p, "ours")
	if err != nil {
		return err
	}
	return writeFile(o.flame, root.svg())
}

func writeFile(file string, data []byte) error {
	return os.WriteFile(file, data, 0o644) //nolint:gosec // the user names the file and may share it
}
