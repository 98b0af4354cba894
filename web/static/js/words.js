// Words: typing asks anew; words are added and taken away without a new page.

import { liveForm } from "./live_form.js";

liveForm({ path: "/words", part: "/parts/words" });
