package httpapi

import "github.com/task-runner/task-runner/taskrunner"

// Languages are the languages that programs may be written in.
type Languages struct {
	Languages []Language `json:"languages" nullable:"false" doc:"By name."`
}

// Language is one of them.
type Language struct {
	Name     string   `json:"name" example:"python"`
	Aliases  []string `json:"aliases" nullable:"false"`
	Version  string   `json:"version" doc:"Empty if unknown." example:"3.13"`
	Source   string   `json:"source" doc:"The name that the code of a task is stored under." example:"main.py"`
	Compiled bool     `json:"compiled" doc:"Whether programs are compiled first."`
	Sample   string   `json:"sample" doc:"A small program that shows the language, to submit as code. Empty if there is none." example:"print('hello')"`
}

type languagesAnswer struct{ Body Languages }

func (a *API) languages(*exchange) (*languagesAnswer, error) {
	answer := &languagesAnswer{Languages{Languages: []Language{}}}
	for _, l := range a.client.Languages() {
		answer.Body.Languages = append(answer.Body.Languages, Language{
			Name: l.Name, Aliases: append([]string{}, l.Aliases...), Version: l.Version, Source: l.Source,
			Compiled: len(l.Compile) > 0, Sample: l.Sample,
		})
	}
	return answer, nil
}

// ServiceLimits is what the operator allows.
type ServiceLimits struct {
	Default       Limits `json:"default" doc:"What a task gets that says nothing."`
	Max           Limits `json:"max" doc:"What a task may ask for."`
	Network       bool   `json:"network" doc:"Whether tasks may ask for a network."`
	MaxCodeBytes  int64  `json:"max_code_bytes" doc:"The greatest size of one source."`
	MaxInputBytes int64  `json:"max_input_bytes" doc:"The greatest size of all input of a task together."`
	MaxFiles      int    `json:"max_files"`
	MaxBodyBytes  int64  `json:"max_body_bytes" doc:"The greatest size of a request's body."`
	MaxWait       int    `json:"max_wait" doc:"The greatest wait, in seconds."`
}

// Limits are those of a task, under the names they have in a submission.
type Limits struct {
	CPULimit    float64 `json:"cpu_limit" doc:"Cores."`
	MemoryLimit int64   `json:"memory_limit" doc:"Bytes."`
	Timeout     float64 `json:"timeout" doc:"Seconds."`
	PIDsLimit   int     `json:"pids_limit"`
	OutputLimit int64   `json:"output_limit" doc:"Bytes of each of stdout and stderr."`
	DiskLimit   int64   `json:"disk_limit" doc:"Bytes."`
}

type limitsAnswer struct{ Body ServiceLimits }

func (a *API) limits(*exchange) (*limitsAnswer, error) {
	p := a.client.Policy()
	return &limitsAnswer{ServiceLimits{
		Default: limitsOf(p.Default), Max: limitsOf(p.Max), Network: p.Network,
		MaxCodeBytes: p.MaxCode, MaxInputBytes: p.MaxInput, MaxFiles: p.MaxFiles,
		MaxBodyBytes: a.maxBody, MaxWait: int(a.cfg.MaxWait.Seconds()),
	}}, nil
}

func limitsOf(l taskrunner.Limits) Limits {
	return Limits{
		CPULimit: l.CPU, MemoryLimit: l.Memory, Timeout: l.Timeout.Seconds(),
		PIDsLimit: l.PIDs, OutputLimit: l.Output, DiskLimit: l.Disk,
	}
}
