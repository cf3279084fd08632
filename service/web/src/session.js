// Who is signed in.

import { get, request } from "./api.js";
import { signIn } from "./dialogs.js";
import { button, byId, el, fill, guarded } from "./dom.js";
import { on, state } from "./state.js";

/** Find out who asks. False when the server wants a key first; the form is then open. */
export async function begin() {
  on("signed-out", signIn);
  try {
    state.session = await get("/v1/session");
  } catch (error) {
    if (error.status === 401) return false;
    throw error;
  }
  const { name, scope, via } = state.session;
  if (via !== "loopback") {
    const leave = guarded(async () => {
      await request("DELETE", "/v1/session");
      location.hash = "";
      location.reload();
    });
    fill(
      byId("account"),
      el("span", { title: `This key may ${scope}` }, name),
      button("Sign out", leave, { className: "quiet" }),
    );
  }
  return true;
}
