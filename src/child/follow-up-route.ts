/**
 * Where the tasks go that follow from one: a task of this child's own modules brings its own routing options, as in Celery. Routers are
 * asked by the parent.
 */
import type { RouteOf } from '../canvas/follow-up-message.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { completeRoute, deliveryModeNumber, type TaskRoute } from '../task/task-route.ts';

export function followUpRoute(registry: TaskRegistry): RouteOf {
  return (name, route) => {
    const options = registry.get(name)?.options;
    if (options === undefined) return route;
    const whole = completeRoute<TaskRoute>(route, options);
    return whole === route ? route : { ...route, ...whole, deliveryMode: deliveryModeNumber(whole.deliveryMode) };
  };
}
