// What a sketch includes.

#ifndef REDS_H
#define REDS_H

#include "reds/reds.h"

#endif
