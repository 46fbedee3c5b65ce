/** What `import … from 'umbel'` gives to a task module inside a worker: this program's own task API. */
import { UmbelError } from '../errors.ts';
import { RemoteTaskError } from '../protocol/remote-error.ts';
import { installApi } from '../task/api-module.ts';
import { Ignore, MaxRetriesExceededError, Reject, Replaced, Retry } from '../task/control-flow.ts';
import { controlCommand, inspectCommand } from '../task/control-module.ts';
import { onWorkerProcessInit, onWorkerProcessShutdown } from '../task/process-hooks.ts';
import { rdb } from '../task/rdb.ts';
import { Signature } from '../task/signature.ts';
import { SoftTimeLimitExceeded } from '../task/soft-time-limit.ts';
import { task, taskHandle } from '../task/task.ts';
import { currentTask, TaskContext } from '../task/task-context.ts';
import { chain, chord, chunks, group, signature, xmap, xstarmap } from '../task/workflow.ts';
import { WorkerApp } from './worker-app.ts';

export function embedApi(): void {
  installApi({
    App: WorkerApp,
    Ignore,
    MaxRetriesExceededError,
    Reject,
    RemoteTaskError,
    Retry,
    Replaced,
    Signature,
    SoftTimeLimitExceeded,
    TaskContext,
    UmbelError,
    chain,
    chord,
    chunks,
    controlCommand,
    currentTask,
    group,
    inspectCommand,
    onWorkerProcessInit,
    onWorkerProcessShutdown,
    rdb,
    signature,
    task,
    taskHandle,
    xmap,
    xstarmap,
  });
}
