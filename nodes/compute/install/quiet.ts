/**
 * Source of a small addon whose only function calls another with standard error turned away. TensorFlow greets there
 * while its library is being loaded, before any of its settings can stop it; in a worker that is the step's log.
 */
export const quietSource = `#include <fcntl.h>
#include <unistd.h>
#include "node_api.h"

static napi_value quietly(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value function, global, result = nullptr;
  napi_get_cb_info(env, info, &count, &function, nullptr, nullptr);
  napi_get_global(env, &global);
  int kept = dup(STDERR_FILENO);
  int away = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (kept >= 0 && away >= 0) dup2(away, STDERR_FILENO);
  napi_call_function(env, global, function, 0, nullptr, &result);
  if (kept >= 0) {
    dup2(kept, STDERR_FILENO);
    close(kept);
  }
  if (away >= 0) close(away);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "quietly", NAPI_AUTO_LENGTH, quietly, nullptr, &function);
  return function;
}
`;
