/**
 * A router of the operator, in a module of his own: `task.routes = "router.ts"`.
 *
 * The one code of the user that runs in the worker itself and not in a child. Loaded once, at the start; it must answer at once.
 */
import { UmbelError } from '../errors.ts';
import { FunctionRouter, type RouteOptions, type Router, type RouterFunction, type TaskToRoute } from '../producer/router.ts';
import { loadRouterModule, type RouterModule } from '../task/router-module.ts';

export class ModuleRouter implements Router {
  readonly #module: RouterModule;
  #router: FunctionRouter | null = null;

  constructor(module: RouterModule) {
    this.#module = module;
  }

  async load(): Promise<void> {
    if (this.#router !== null) return;
    const route = await loadRouterModule(this.#module);
    this.#router = new FunctionRouter(route as RouterFunction, `${this.#module.path}:${this.#module.exportName}`);
  }

  route(task: TaskToRoute): RouteOptions | null {
    if (this.#router === null) throw new UmbelError('INTERNAL', `the router module ${this.#module.path} must be loaded before it is asked`);
    return this.#router.route(task);
  }
}
