//! What `redis-assess` sees and `choose-replica` chooses, when it really happens.

mod choice;
mod evidence;
mod hints;
mod scene;
