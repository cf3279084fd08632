// Who is signed in.

import { get, request } from "./api.js";
import { signIn } from "./dialogs.js";
import { button, byId, el, fill, guarded, notice } from "./dom.js";
import { emit, isSame, on, state } from "./state.js";

/** The form again, in the middle of work. Whoever else signs in begins anew; nobody loses a thing. */
async function signInAgain() {
  await signIn("Your session has ended. Sign in again: what is not saved yet is still here.");
  const session = await get("/v1/session");
  if (!isSame(session, state.session)) {
    location.reload();
    return;
  }
  emit("signed-in");
  notice("You are signed in again. What was refused meanwhile can be done now.", { good: true });
}

/** Find out who asks; where the server wants a key, not before there is one. */
export async function begin() {
  try {
    state.session = await get("/v1/session");
  } catch (error) {
    if (error.status !== 401) throw error;
    await signIn("This server needs a key. Whoever runs it makes one with “extent keys create”.");
    state.session = await get("/v1/session");
  }
  let asking = false;
  on("signed-out", guarded(async () => {
    if (asking) return;
    asking = true;
    await signInAgain().finally(() => {
      asking = false;
    });
  }));
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
}
